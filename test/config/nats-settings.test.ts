import { expect, test } from 'vitest'
import { isNatsCredentials } from '#config/nats-settings.ts'
import { ConfigFixture } from './config-fixture.ts'

const SECRET = '5e'.repeat(32)
const CREDENTIALS = '-----BEGIN NATS USER JWT-----\nx\n-----BEGIN USER NKEY SEED-----\ny\n'
const REGIONS = 'regions: { 900: { code: fra, nodes: [{ name: 900a, hostname: derp1.lab }] } }\n'

function args(fixture: ConfigFixture, ...more: string[]): string[] {
  const mesh = ['-mesh-psk-file', fixture.folder.write('mesh.key', '5e'.repeat(32))]
  const regions = ['-regions-file', fixture.folder.write('regions.yaml', REGIONS)]
  const listener = ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', '-hostname', 'derp1.lab']
  return [...listener, ...mesh, ...regions, ...more]
}

test('reads servers, secret and credentials', () => {
  using fixture = new ConfigFixture()
  const secret = fixture.folder.write('nats.secret', `${SECRET}\n`)
  const path = fixture.folder.write('relay.creds', CREDENTIALS)
  const options = ['-nats-url', 'nats://a.lab:4222,tls://[::1]', '-nats-secret-file', secret]
  expect(fixture.settings(args(fixture, ...options, '-nats-credentials-file', path)).mesh.nats).toEqual({
    servers: ['nats://a.lab:4222', 'tls://[::1]'],
    credentials: { path, text: CREDENTIALS },
    ca: undefined,
    secret: new Uint8Array(32).fill(0x5e),
  })
})

test('reports servers, a secret and credentials that cannot be used', () => {
  using fixture = new ConfigFixture()
  const bad = fixture.folder.write('bad', 'nothing')
  const options = ['-nats-url', 'http://a.lab', '-nats-secret-file', bad]
  expect(fixture.problems(args(fixture, ...options))).toEqual([
    '-nats-url: invalid value "http://a.lab"; expected nats://HOST:PORT or tls://HOST:PORT',
    `-nats-secret-file: ${bad} contains no such secret; expected a file with 64 hex digits`,
  ])
  const secret = fixture.folder.write('nats.secret', SECRET)
  const more = ['-nats-url', 'nats://a.lab', '-nats-secret-file', secret, '-nats-credentials-file', bad]
  expect(fixture.problems(args(fixture, ...more))).toEqual([
    `-nats-credentials-file: ${bad} contains no credentials; expected a credentials file with a user's JWT and seed, as nsc writes it`,
  ])
  expect(fixture.problems(args(fixture, '-nats-url', 'nats://a.lab'))).toEqual([
    '-nats-secret-file: is not set; expected a file with 64 hex digits',
  ])
})

test('recognises the text of a credentials file', () => {
  expect([isNatsCredentials(CREDENTIALS), isNatsCredentials('nothing')]).toEqual([true, false])
})

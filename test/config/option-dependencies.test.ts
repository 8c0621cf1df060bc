import { expect, test } from 'vitest'
import { formatKeyFile } from '#protocol/key-file.ts'
import { goodPair, writePair } from './certificates.ts'
import { KEY_PAIR, ConfigFixture } from './config-fixture.ts'

/** An option, the end of the warning that it has no effect alone, and the options with which it has one. */
const INEFFECTIVE: readonly (readonly [
  flag: string,
  value: string,
  ending: string,
  more: readonly string[],
])[] = [
  [
    'verify-client-url-fail-open',
    'true',
    'without -verify-client-url',
    ['-verify-client-url=https://h.example/verify'],
  ],
  ['socket', '/s', 'without -verify-clients', ['-verify-clients']],
  ['nats-credentials-file', '/f', 'without -nats-url', []],
  ['nats-ca-file', '/f', 'without -nats-url', []],
  ['nats-secret-file', '/f', 'without -nats-url', []],
  ['region', '901', 'without -regions-file', []],
  ['node', '901a', 'without -regions-file', []],
  ['rebalance', '1', 'without -regions-file', []],
  ['accept-connection-limit', '10', 'without -accept-connection-burst', ['-accept-connection-burst=5']],
  ['accept-connection-burst', '5', 'without -accept-connection-limit', ['-accept-connection-limit=10']],
  ['mesh-ca-file', 'CERTIFICATES/a.example.crt', 'without -mesh-with or -mesh-dns or -regions-file', []],
  ['certdir', 'CERTIFICATES', 'without TLS', ['-certmode=manual', '-hostname=a.example']],
  [
    'tls-max-version',
    '1.2',
    'without TLS',
    ['-certmode=manual', '-hostname=a.example', '-certdir=CERTIFICATES'],
  ],
]

class IneffectiveFixture extends ConfigFixture {
  warnings(...args: string[]): readonly string[] {
    const all = ['-c', this.keyPath, '-a', '127.0.0.1:3340', ...args]
    return this.settings(all.map((arg) => arg.replace('CERTIFICATES', this.folder.path))).warnings
  }
}

test('warns of ACME options that have no effect', () => {
  using fixture = new IneffectiveFixture()
  writePair(fixture.folder, 'a.example', goodPair('a.example'))
  const acme = ['-acme-email=ops@a.example', '-acme-ip-certs', '-acme-challenge=http-01']
  const manual = ['-certmode=manual', '-hostname=a.example', '-certdir=CERTIFICATES']
  const warnings = fixture.warnings(...acme, ...manual).filter((text) => text.includes('has no effect'))
  expect(warnings).toEqual([
    '-acme-email: has no effect with -certmode manual',
    '-acme-ip-certs: has no effect with -certmode manual',
    '-acme-challenge: has no effect with -certmode manual',
  ])
  expect(fixture.warnings('-tls=off', '-certmode=letsencrypt', ...acme)).toEqual([
    '-certmode: has no effect without TLS',
    '-acme-email: has no effect without TLS',
    '-acme-ip-certs: has no effect without TLS',
    '-acme-challenge: has no effect without TLS',
  ])
})

test.each(INEFFECTIVE)('warns that -%s %s has no effect %s', (flag, value, ending, more) => {
  using fixture = new IneffectiveFixture()
  writePair(fixture.folder, 'a.example', goodPair('a.example'))
  const alone = fixture.warnings(`-${flag}=${value}`).filter((text) => text.includes('has no effect'))
  expect(alone).toEqual([`-${flag}: has no effect ${ending}`])
  if (more.length === 0) return
  const together = fixture.warnings(`-${flag}=${value}`, ...more)
  expect(together.filter((text) => text.includes('has no effect'))).toEqual([])
})

test.each([
  [['-stun=false', '-stun-port=3479'], ['-stun-port: has no effect without -stun']],
  [
    ['-derp=false', '-verify-client-url=https://h.example/verify', '-disallow-app-names=x'],
    ['-verify-client-url: has no effect without -derp', '-disallow-app-names: has no effect without -derp'],
  ],
  [
    ['-dev', '-open-relay'],
    ['-c: has no effect with -dev', '-a: has no effect with -dev'],
  ],
  [['-derp=false', '-verify-clients'], ['-verify-clients: has no effect without -derp']],
  [
    ['-dev', '-open-relay', '-mesh-psk-file=/f'],
    ['-c: has no effect with -dev', '-a: has no effect with -dev', '-mesh-psk-file: has no effect with -dev'],
  ],
  // A value that equals the default needs no other option.
  [
    [
      '-verify-client-url-fail-open=false',
      '-rebalance=0',
      '-nats-secret-file=',
      '-accept-connection-limit=+Inf',
      '-derp=false',
      '-disallow-app-names=,',
    ],
    [],
  ],
])('%j', (args, expected) => {
  using fixture = new IneffectiveFixture()
  const warnings = fixture.warnings(...args).filter((text) => text.includes('has no effect'))
  expect([...warnings].sort()).toEqual([...expected].sort())
})

test('warns of options from every source', () => {
  using fixture = new IneffectiveFixture()
  const path = fixture.folder.write('relay.yaml', 'region: 901\n')
  const args = ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', '-config', path]
  const { warnings } = fixture.settings(args, { DERPFLEET_KEY: '', DERPFLEET_NODE: '901a' })
  expect(warnings).toEqual([
    `${path}:1: region: has no effect without -regions-file`,
    'DERPFLEET_NODE: has no effect without -regions-file',
  ])
})

test('a key in the environment is ignored with -dev', () => {
  using fixture = new IneffectiveFixture()
  const { warnings } = fixture.settings(['-dev', '-open-relay'], { DERPFLEET_KEY: formatKeyFile(KEY_PAIR) })
  expect(warnings).toEqual(['DERPFLEET_KEY: has no effect with -dev'])
})

test('does not warn of presets, such as those of the quick start', () => {
  using fixture = new IneffectiveFixture()
  const args = ['-c', fixture.keyPath, '-a', '127.0.0.1:3340']
  const { settings } = fixture.plan(args, { presets: { region: '901' } })
  expect(settings.warnings).toEqual([])
})

import { generateKeyPairSync } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ConfigFixture } from './config-fixture.ts'

const REGIONS = 'regions: { 20: { code: fra, nodes: [{ name: 20a, hostname: derp1.lab }] } }\n'

function args(fixture: ConfigFixture, ...more: string[]): string[] {
  const mesh = ['-mesh-psk-file', fixture.folder.write('mesh.key', '5e'.repeat(32))]
  const regions = ['-regions-file', fixture.folder.write('regions.yaml', REGIONS)]
  const listener = ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', '-hostname', 'derp1.lab']
  return [...listener, ...mesh, ...regions, ...more]
}

function newKey(type: 'ed25519' | 'x25519'): string {
  const { privateKey } = type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519')
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

test('reads the key that signs the DERP map, and warns of the number of a region and of readers of the key', () => {
  using fixture = new ConfigFixture()
  const key = newKey('ed25519')
  const path = fixture.folder.write('map.key', key)
  chmodSync(path, 0o644)
  const { mesh, warnings } = fixture.settings(args(fixture, '-map-key-file', path))
  expect(mesh.mapKey).toBe(key)
  expect(warnings.join('\n')).toContain(`${path}: this secret is readable by every user`)
  expect(warnings.join('\n')).toContain("regions.20: Tailscale's policy file refuses this region number")
})

test('reports a file that has no such key, without the key', () => {
  using fixture = new ConfigFixture()
  const key = newKey('x25519')
  const path = fixture.folder.write('map.key', key)
  const expected = 'expected an Ed25519 private key in PEM, as from "openssl genpkey -algorithm ed25519"'
  expect(fixture.problems(args(fixture, '-map-key-file', path))).toEqual([
    `-map-key-file: ${path} has a key of type x25519; ${expected}`,
  ])
  const cut = fixture.folder.write('cut.key', key.slice(0, 60))
  expect(fixture.problems(args(fixture, '-map-key-file', cut))).toEqual([
    `-map-key-file: ${cut} has no key that can be read; ${expected}`,
  ])
  expect(fixture.problems(args(fixture, '-map-key-file', '/none'))).toEqual([
    `-map-key-file: /none does not exist; ${expected}`,
  ])
})

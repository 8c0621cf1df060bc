import { chmodSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createFiles } from '#config/new-files.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { KEY_PAIR, ConfigFixture } from './config-fixture.ts'

const LOOPBACK = ['-a', '127.0.0.1:3340']
const PSK = 'ab'.repeat(32)

test("reads derper's key file, and Headscale's plain one", () => {
  using fixture = new ConfigFixture()
  const plain = fixture.folder.write('plain.key', `privkey:${'07'.repeat(32)}\n`)
  expect(fixture.settings([...LOOPBACK, '-c', fixture.keyPath]).nodeKey).toEqual(KEY_PAIR)
  expect(fixture.settings([...LOOPBACK, '-c', plain]).nodeKey).toEqual(KEY_PAIR)
})

test('creates a missing key file once, and keeps the key', () => {
  using fixture = new ConfigFixture()
  const args = [...LOOPBACK, '-c', fixture.folder.at('new.key')]
  const { settings, newFiles } = fixture.plan(args)
  expect(newFiles).toEqual([
    expect.objectContaining({ text: formatKeyFile(settings.nodeKey), mode: 0o600, folder: 'must exist' }),
  ])
  expect(createFiles(newFiles)).toBeUndefined()
  const again = fixture.plan(args)
  expect([again.settings.nodeKey, again.newFiles]).toEqual([settings.nodeKey, []])
})

test("requires -c, except for root, which has derper's default path", () => {
  using fixture = new ConfigFixture()
  expect(fixture.problems(LOOPBACK)).toEqual([
    '-c: is not set; expected a derper.key file, which is created if it does not exist',
  ])
  const { newFiles } = fixture.plan(LOOPBACK, { host: { isRoot: true } })
  expect(newFiles).toEqual([
    expect.objectContaining({ path: fixture.host.rootKeyPath, folder: 'is created' }),
  ])
})

test.each([
  [
    'no folder',
    'none/derper.key',
    undefined,
    /^-c: .*\/none\/derper\.key cannot be created: its folder does not exist; expected/,
  ],
  ['a folder', '.', undefined, /^-c: .* is a folder; expected a derper\.key file/],
  ['no JSON', 'k', '{"PrivateKey"', /^-c: \S+\/k is not JSON; expected {"PrivateKey": "privkey:<64 hex>"}$/],
  ['no key', 'k', '{"PublicKey": "x"}', /^-c: \S+\/k has no string "PrivateKey"; expected/],
  ['half a key', 'k', 'privkey:00', /^-c: \S+\/k does not hold a private key; expected privkey:<64 hex>$/],
  [
    'a zero key',
    'k',
    `privkey:${'00'.repeat(32)}`,
    /^-c: \S+\/k holds the all-zero private key; expected a generated one$/,
  ],
])('refuses a key file with %s', (_name, file, content, expected) => {
  using fixture = new ConfigFixture()
  if (content !== undefined) fixture.folder.write(file, content)
  expect(fixture.problems([...LOOPBACK, '-c', fixture.folder.at(file)])).toEqual([
    expect.stringMatching(expected),
  ])
})

test('reads the key from the environment if it has no other source, and never prints it', () => {
  using fixture = new ConfigFixture()
  const env = { DERPFLEET_KEY: `privkey:${'07'.repeat(32)}` }
  expect(fixture.settings(LOOPBACK, env).nodeKey).toEqual(KEY_PAIR)
  expect(fixture.problems([...LOOPBACK, '-c', fixture.keyPath], env)).toEqual([
    'DERPFLEET_KEY: conflicts with -c; expected only one of the two',
  ])
  expect(fixture.problems(LOOPBACK, { DERPFLEET_KEY: 'privkey:secret' })).toEqual([
    'DERPFLEET_KEY: its value does not hold a private key; expected privkey:<64 hex>',
  ])
})

test('warns of a secret that every user may read', () => {
  using fixture = new ConfigFixture()
  chmodSync(fixture.keyPath, 0o644)
  expect(fixture.settings([...LOOPBACK, '-c', fixture.keyPath]).warnings).toEqual([
    `${fixture.keyPath}: this secret is readable by every user of this host (mode 0644); expected mode 0600`,
  ])
})

test("-dev creates a key for the run, and reads the mesh key from derper's variable", () => {
  using fixture = new ConfigFixture()
  const args = ['-dev', '-open-relay']
  const env = { TAILSCALE_DERPER_MESH_KEY: PSK }
  const [first, second] = [fixture.plan(args, { env }), fixture.plan(args, { env })]
  expect(first.newFiles).toEqual([])
  expect(first.settings.nodeKey).not.toEqual(second.settings.nodeKey)
  expect(first.settings.meshKeys).toEqual([new Uint8Array(32).fill(0xab)])
  const outside = fixture.settings([...LOOPBACK, '-c', fixture.keyPath], env)
  expect([outside.meshKeys, outside.warnings]).toEqual([
    [],
    ['TAILSCALE_DERPER_MESH_KEY: is read only with -dev'],
  ])
})

test("finds the mesh key at derper's default paths, unless an option is set", () => {
  using fixture = new ConfigFixture()
  fixture.folder.write('home/keys/derp-mesh.key', PSK)
  const args = [...LOOPBACK, '-c', fixture.keyPath]
  expect(fixture.settings(args).meshKeys).toEqual([new Uint8Array(32).fill(0xab)])
  fixture.folder.write('derp-mesh.key', 'cd'.repeat(32))
  expect(fixture.settings(args).meshKeys).toEqual([new Uint8Array(32).fill(0xcd)])
  expect(fixture.settings([...args, '-mesh-psk-file=']).meshKeys).toEqual([])
  const named = fixture.folder.write('other', 'ef'.repeat(32))
  expect(fixture.settings([...args, '-mesh-psk-file', named]).meshKeys).toEqual([
    new Uint8Array(32).fill(0xef),
  ])
  expect(fixture.settings(args, { DERPFLEET_MESH_PSK: PSK }).meshKeys).toEqual([
    new Uint8Array(32).fill(0xab),
  ])
})

test('reads several mesh keys and keeps the path of their file', () => {
  using fixture = new ConfigFixture()
  const path = fixture.folder.write('psk', `# the new one\n${'cd'.repeat(32)}\n\n# until June\n${PSK}\n`)
  const settings = fixture.settings([...LOOPBACK, '-c', fixture.keyPath, '-mesh-psk-file', path])
  expect(settings.meshKeys).toEqual([new Uint8Array(32).fill(0xcd), new Uint8Array(32).fill(0xab)])
  expect(settings.meshKeyPath).toBe(path)
})

test.each([
  ['is missing', undefined, /^-mesh-psk-file: \S+ does not exist; expected a file with 64 hex digits$/],
  [
    'is too short',
    'abcd',
    /^-mesh-psk-file: \S+ holds 4 characters that are not a mesh key; expected 64 hex digits$/,
  ],
  [
    'is all zero',
    '00'.repeat(32),
    /^-mesh-psk-file: \S+ holds the all-zero mesh key; expected 64 random hex digits$/,
  ],
])('refuses a mesh key that %s', (_name, content, expected) => {
  using fixture = new ConfigFixture()
  const path = content === undefined ? fixture.folder.at('psk') : fixture.folder.write('psk', content)
  expect(fixture.problems([...LOOPBACK, '-c', fixture.keyPath, '-mesh-psk-file', path])).toEqual([
    expect.stringMatching(expected),
  ])
})

test('refuses a mesh key from two sources', () => {
  using fixture = new ConfigFixture()
  const args = [...LOOPBACK, '-c', fixture.keyPath, '-mesh-psk-file', fixture.folder.write('psk', PSK)]
  expect(fixture.problems(args, { DERPFLEET_MESH_PSK: PSK })).toEqual([
    'DERPFLEET_MESH_PSK: conflicts with -mesh-psk-file; expected only one of the two',
  ])
})

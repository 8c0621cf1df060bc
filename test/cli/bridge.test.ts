// The command line of `derpfleet bridge` and its files: what is refused, and what the small commands print.

import { chmodSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { base64Of } from '#bridge/wg-config.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { readBridgeArguments } from '#cli/bridge-options.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { derpfleet } from './program.ts'

const [alice, bob, own] = [newKeyPair(), newKeyPair(), newKeyPair()]
const RELAY = ['-relay', 'https://derp1.example.com'] as const
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bridge-cli-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function file(name: string, text: string, mode = 0o600): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text)
  chmodSync(path, mode)
  return path
}

async function wgFile(name: string, peerLines = '', mode = 0o600): Promise<string> {
  const text = `[Interface]\nPrivateKey = ${base64Of(alice.privateKey)}\nListenPort = 51820\n`
  return await file(
    name,
    `${text}[Peer]\n# Name = bob\nPublicKey = ${base64Of(bob.publicKey)}\n${peerLines || 'AllowedIPs = 10.7.0.2/32\n'}`,
    mode,
  )
}

function asked(
  ...args: readonly string[]
): Extract<ReturnType<typeof readBridgeArguments>, { settings: unknown }> {
  const read = readBridgeArguments(args)
  if (read === 'help' || 'problems' in read) throw new Error(JSON.stringify(read))
  return read
}

function problems(...args: readonly string[]): string {
  const read = readBridgeArguments(args)
  if (read === 'help' || !('problems' in read)) throw new Error('no problems')
  return read.problems.map(({ where, found }) => `${where}: ${found}`).join('\n')
}

describe('of WireGuard', () => {
  test('the interface, the key and the peers come from the file', async () => {
    const path = await wgFile('wg7.conf', 'Endpoint = vpn.example.com:51820\nAllowedIPs = 0.0.0.0/0\n')
    const { settings, relay, allowedIps, statusSocket } = asked(
      path,
      ...RELAY,
      '-relay',
      'https://derp2.example.com',
    )
    expect(settings).toMatchObject({
      name: 'wg7',
      interfaceName: 'wg7',
      mode: 'auto',
      key: alice,
      peers: [
        {
          name: 'bob',
          key: bob.publicKey,
          listen: { host: '127.0.0.1', port: 0 },
          vpn: { host: '127.0.0.1', port: 51_820 },
          flowsMax: 1,
          wg: { endpoint: 'vpn.example.com:51820' },
        },
      ],
    })
    expect(relay.urls).toEqual(['https://derp1.example.com', 'https://derp2.example.com'])
    expect(allowedIps).toEqual(['0.0.0.0/0'])
    expect(statusSocket).toBe('/run/derpfleet/bridge-wg7.sock')
  })

  test("an endpoint on this host is the bridge's port, and nothing is steered", async () => {
    const { settings } = asked(
      await wgFile('wg8.conf', 'Endpoint = 127.0.0.1:51830\nAllowedIPs = 10.7.0.2/32\n'),
      ...RELAY,
    )
    expect(settings.peers).toMatchObject([
      { listen: { host: '127.0.0.1', port: 51_830 }, wg: { endpoint: undefined } },
    ])
  })

  test("a peer without AllowedIPs, such as a relay's lane, is left alone unless it is named", async () => {
    const lane = `[Peer]\nPublicKey = ${base64Of(own.publicKey)}\nEndpoint = derp1.example.com:51820\n`
    const path = await wgFile('wg5.conf', `AllowedIPs = 10.7.0.2/32\n${lane}`)
    const names = (...args: readonly string[]): readonly string[] =>
      asked(path, ...RELAY, ...args).settings.peers.map(({ name }) => name)
    expect(names()).toEqual(['bob'])
    expect(names('-peer', base64Of(own.publicKey))).toEqual([base64Of(own.publicKey).slice(0, 8)])
    const alone = await wgFile('wg4.conf', 'Endpoint = derp1.example.com:51820\n')
    expect(problems(alone, ...RELAY)).toContain('no [Peer] with AllowedIPs')
  })

  test('a file that others may read is refused, and so is a key file', async () => {
    expect(problems(await wgFile('shared.conf', '', 0o640), ...RELAY)).toContain(
      'others may read it (mode 0640)',
    )
    const [path, key] = [await wgFile('wg9.conf'), await file('own.key', formatKeyFile(own), 0o644)]
    expect(problems(path, ...RELAY, '-own-key', key)).toContain('others may read it (mode 0644)')
    chmodSync(key, 0o600)
    expect(asked(path, ...RELAY, '-own-key', key).settings.key).toEqual(own)
  })

  test('every problem at once', async () => {
    const found = problems(
      await wgFile('wg6.conf'),
      '-relay',
      'ftp://x',
      '-peer',
      'cathy',
      '-proxy',
      'https://p',
      '-mode',
      'x',
    )
    for (const name of ['-relay', '-peer: "cathy"', '-proxy', '-mode']) expect(found).toContain(name)
    expect(problems()).toContain('file: missing')
  })
})

describe('of another VPN', () => {
  const peer = `  - name: office\n    key: ${publicKeyText(bob.publicKey)}\n`

  test('peers, key and relays come from bridge.yaml', async () => {
    const key = await file('bridge.key', formatKeyFile(own))
    const text = `relays: [https://derp1.example.com]\nkey-file: ${key}\npeers:\n${peer}    listen: 127.0.0.1:51830\n    flows: 2\n`
    const { settings, relay } = asked('-config', await file('office.yaml', text))
    expect(relay.urls).toEqual(['https://derp1.example.com'])
    expect(settings).toMatchObject({
      name: 'office',
      mode: 'relay',
      interfaceName: undefined,
      key: own,
      peers: [{ name: 'office', listen: { port: 51_830 }, vpn: undefined, flowsMax: 2, wg: undefined }],
    })
  })

  test('what is not on the loopback interface, unknown or missing, is refused', async () => {
    const text = `key-file: ${folder}/none\npeers:\n${peer}    listen: 192.0.2.1:51830\n    port: 1\n  - key: x\n    flows: 9\n`
    const found = problems('-config', await file('bad.yaml', text))
    for (const part of [
      'peers[0].listen',
      '"port"',
      'peers[1].key',
      'peers[1].flows',
      'neither listen nor vpn',
      '-relay',
    ]) {
      expect(found).toContain(part)
    }
    expect(problems('-config', await file('syntax.yaml', 'a: [\n'))).toContain('line 2')
  })
})

test('bridge key prints the key that the relay must allow, of either kind of file', async () => {
  const printed = await derpfleet(['bridge', 'key', await wgFile('wg5.conf')])
  expect(printed).toMatchObject({ code: 0, stdout: `${publicKeyText(alice.publicKey)}\n` })
  const other = await derpfleet(['bridge', 'key', await file('plain.key', formatKeyFile(own))])
  expect(other.stdout).toBe(`${publicKeyText(own.publicKey)}\n`)
  expect((await derpfleet(['bridge', 'key', join(folder, 'none')])).code).toBe(1)
  expect((await derpfleet(['bridge', 'key'])).code).toBe(2)
})

test('bridge status without a bridge says so', async () => {
  const { code, stderr } = await derpfleet(['bridge', 'status', join(folder, 'none.sock')])
  expect([code, stderr]).toEqual([1, expect.stringContaining('none.sock')])
})

// In which form a client's key and address reach what operators see: the log at its most talkative, and every page of the admin
// port. The relay is a process, and the client connects over a socket.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { toHex } from '#protocol/bytes.ts'
import { parseKeyFile } from '#protocol/key-file.ts'
import { shortKey } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { FREE_PORTS, startDerpfleet } from './program.ts'

const READY = /"relay_started".*"derp":"\S+?:(\d+)".*"admin":"(\S+?)"/
/** No other part of the relay has this address. */
const FROM = '127.0.71.7'
const PAGES = [
  '/',
  '/status',
  '/status.json',
  '/quality',
  '/metrics',
  '/debug/varz',
  '/readyz',
  '/mesh',
  '/clients',
  '/clients.json',
  '/debug/clients/?all',
  '/debug/clients/?all&format=json',
  '/debug/check',
]

interface Seen {
  /** The fields of the client's login and of its end. */
  readonly sessions: readonly { readonly key?: string; readonly remote?: string }[]
  readonly all: string
}

/** What is seen of a client that connects twice. */
async function seenOf(key: ReturnType<typeof newKeyPair>, ...args: readonly string[]): Promise<Seen> {
  using folder = new TemporaryFolder()
  const common = [
    'serve',
    '-c',
    folder.at('derper.key'),
    ...FREE_PORTS,
    '-log-level',
    'debug',
    '-log-format',
    'json',
  ]
  await using relay = await startDerpfleet([...common, ...args], { readyWhen: READY })
  const [, port, admin] = READY.exec(relay.output) ?? []
  const file = parseKeyFile(readFileSync(folder.at('derper.key'), 'utf8'))
  const serverKey = 'value' in file ? file.value.publicKey : undefined
  const target = { host: '127.0.0.1', port: Number(port), tls: false, serverKey, localAddress: FROM } as const
  const pages: string[] = []
  for (let n = 0; n < 2; n++) {
    const client = await DerpClient.connect({ ...target, key, isPreferred: true })
    for (const path of PAGES) pages.push(await (await fetch(`http://${admin}${path}`)).text())
    await client.close()
  }
  const lines = (): string[] =>
    relay.output.split('\n').filter((line) => /"session_(started|ended)"/.test(line))
  await expect.poll(() => lines().length, { timeout: 10_000 }).toBe(4)
  await relay.stop()
  const sessions = lines().map((line) => JSON.parse(line) as Seen['sessions'][number])
  return { sessions, all: relay.output + pages.join('\n') }
}

test('neither key nor address, where the operator wants none', async () => {
  const key = newKeyPair()
  const { sessions, all } = await seenOf(key, '-show-keys', 'none', '-show-addresses', 'none')
  expect(sessions.filter((one) => 'key' in one || 'remote' in one)).toEqual([])
  expect(all).not.toContain(FROM)
  expect(all).not.toContain(toHex(key.publicKey))
  expect(all).not.toContain(shortKey(key.publicKey))
})

test('hashed, each the same in all lines', async () => {
  const key = newKeyPair()
  const { sessions, all } = await seenOf(key, '-show-keys', 'hashed', '-show-addresses', 'hashed')
  expect(new Set(sessions.map((one) => one.key)).size).toBe(1)
  expect(new Set(sessions.map((one) => one.remote)).size).toBe(1)
  expect(sessions[0]?.remote).toMatch(/^#[0-9a-f]{12}$/)
  expect(all).not.toContain(FROM)
  expect(all).not.toContain(shortKey(key.publicKey))
})

test('the network of an address and the whole key; by default the whole address and the short key', async () => {
  const key = newKeyPair()
  const long = await seenOf(key, '-show-keys', 'full', '-show-addresses', 'short')
  const whole = `nodekey:${toHex(key.publicKey)}`
  expect(long.sessions).toMatchObject(
    Array.from({ length: 4 }, () => ({ key: whole, remote: '127.0.71.0/24' })),
  )
  const usual = await seenOf(key)
  expect(usual.sessions.map((one) => one.key)).toEqual(
    Array.from({ length: 4 }, () => shortKey(key.publicKey)),
  )
  expect(usual.sessions[0]?.remote).toMatch(/^127\.0\.71\.7:\d+$/)
})

test('a stream of whole keys ends when a reload hides them', async () => {
  using folder = new TemporaryFolder()
  const config = folder.write('relay.yaml', 'show-keys: full\n')
  const args = [
    'serve',
    '-c',
    folder.at('derper.key'),
    ...FREE_PORTS,
    '-config',
    config,
    '-log-format',
    'json',
  ]
  await using relay = await startDerpfleet(args, { readyWhen: READY })
  const [, , admin] = READY.exec(relay.output) ?? []
  const response = await fetch(`http://${admin}/debug/traffic`)
  let isOver = false
  void response.text().then(() => (isOver = true))
  folder.write('relay.yaml', 'show-keys: hashed\n')
  relay.signal('SIGHUP')
  await expect.poll(() => isOver, { timeout: 10_000 }).toBe(true)
  expect((await fetch(`http://${admin}/debug/traffic`)).status).toBe(403)
})

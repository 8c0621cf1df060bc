// Who is here, as a live relay with two threads tells it on its admin port.

import { expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import type { ClientList } from '#ops/client-list.ts'
import { publicKeyText, shortKey } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'

const ADMIN = { host: '127.0.0.1', port: 0 }

async function list(relay: LiveRelay, query = ''): Promise<ClientList> {
  return JSON.parse(await relay.page(`/clients.json${query}`)) as ClientList
}

it('tells of the clients of all threads: way in, home, traffic both ways, address', async () => {
  await using relay = await LiveRelay.start({ threadCount: 2, admin: ADMIN })
  const [fast, upgrade, webSocket] = await Promise.all(
    (['fast-start', 'upgrade', 'websocket'] as const).map(async (way) => {
      const serverKey = relay.settings.nodeKey.publicKey
      return await relay.client({ way, ...(way === 'fast-start' ? { serverKey } : {}), appName: 'tailcat' })
    }),
  )
  if (fast === undefined || upgrade === undefined || webSocket === undefined) throw new Error('unreachable')
  const arrived = upgrade.next('packet')
  fast.notePreferred(true)
  for (let n = 0; n < 5; n++) fast.send(upgrade.publicKey, Buffer.alloc(1_000))
  await arrived
  // Two of them are equally busy.
  const receivedOf = ({ clients }: ClientList): readonly number[] =>
    clients.map(({ received }) => received.packets)
  await expect.poll(async () => receivedOf(await list(relay)), { timeout: 10_000 }).toContain(5)
  const { clients, ...rest } = await list(relay, '?sort=since')
  expect(rest).toMatchObject({
    isComplete: true,
    isTls: true,
    connections: 3,
    keys: 3,
    homes: 1,
    matching: 3,
    duplicateKeys: 0,
  })
  const of = (client: typeof fast): unknown => clients.find(({ key }) => key === shortKey(client.publicKey))
  expect(of(fast)).toMatchObject({
    way: 'fast_start',
    kind: 'client',
    isHome: true,
    isDuplicate: false,
    isActive: true,
    version: 2,
    app: 'tailcat',
    remote: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    received: { packets: 5, bytes: 5_000 },
    sent: { packets: 0, bytes: 0 },
    senders: 0,
  })
  expect(of(upgrade)).toMatchObject({
    way: 'derp',
    isHome: false,
    sent: { packets: 5, bytes: 5_000 },
    senders: 1,
    dropped: 0,
    queuedBytes: 0,
  })
  expect(of(webSocket)).toMatchObject({ way: 'websocket', received: { packets: 0 } })
  const [first] = clients
  expect(Math.abs(Date.now() - (first?.sinceMs ?? 0))).toBeLessThan(60_000)
  expect(first?.wireReceivedBytes).toBeGreaterThan(100)
})

it('shows whole keys when asked, one key, and the same connections of a key again', async () => {
  await using relay = await LiveRelay.start({ threadCount: 2, admin: ADMIN })
  const key = newKeyPair()
  const text = publicKeyText(key.publicKey)
  await Promise.all([relay.client({ key }), relay.client({ key }), relay.client()])
  const { clients, matching, duplicateKeys, keys } = await list(relay, `?keys=full&key=${text.slice(0, 16)}`)
  expect({ matching, duplicateKeys, keys }).toEqual({ matching: 2, duplicateKeys: 1, keys: 2 })
  expect(clients.map((one) => [one.key, one.isDuplicate])).toEqual([
    [text, true],
    [text, true],
  ])
  expect(clients.filter(({ isActive }) => isActive)).toHaveLength(1)
  const numbers = (await list(relay, `?key=${text.slice(8, 16)}`)).clients.map(({ number }) => number)
  expect(new Set(numbers)).toEqual(new Set(clients.map(({ number }) => number)))
  expect(await relay.page('/clients?limit=1')).toMatch(/^3 connections of 2 keys {2}[^]*\n2 more\n$/)
  expect(await relay.page('/clients.json?limit=all')).toBe('limit: expected a whole number from 1 to 10000\n')
})

it("derper's pages, which have whole keys and addresses, are closed where those are not to be shown", async () => {
  await using relay = await LiveRelay.start({ admin: ADMIN, shown: { keys: 'hashed', addresses: 'full' } })
  await relay.client()
  for (const path of ['/debug/clients/?all', '/debug/clients?all&format=json', '/debug/traffic'])
    expect(await relay.page(path)).toMatch(/^this page has whole keys and addresses, and -show-keys /)
  expect((await list(relay, '?keys=full')).clients[0]?.key).toMatch(/^#[\da-f]{12}$/)
})

it('tells of which tenant a client is', async () => {
  using folder = new TemporaryFolder()
  const key = newKeyPair()
  const path = folder.write('keys', `allow ${publicKeyText(key.publicKey)} tenant blue\n`)
  await using relay = await LiveRelay.start({
    admin: ADMIN,
    admission: checkedBy(undefined, { allowKeysPath: path }),
  })
  await relay.client({ key })
  expect((await list(relay)).clients.map(({ tenant }) => tenant)).toEqual(['blue'])
})

it('many who ask at once are given the same', async () => {
  await using relay = await LiveRelay.start({ admin: ADMIN })
  await relay.client()
  const lists = await Promise.all(Array.from({ length: 8 }, async () => await list(relay)))
  expect(new Set(lists.map(({ atMs }) => atMs)).size).toBe(1)
})

// A relay with its threads and real sockets, as clients use it: logins, packets, presence, and a restart.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DerpClient, newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { concatBytes, toHex } from '#protocol/bytes.ts'
import { PresenceFlag } from '#protocol/frame-type.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { checkedBy, LiveRelay, MESH_KEY } from '../support/live-relay.ts'
import { loginFrame } from '../support/login-frame.ts'
import { RawSocket } from '../support/raw-socket.ts'

const packet = Buffer.from('hello, derp')

describe.each([
  ['one thread', 1],
  ['three threads', 3],
])('a TLS relay of %s', (_name, threadCount) => {
  let relay: LiveRelay
  beforeAll(async () => {
    // Siblings are as privileged as derper's.
    const admission = checkedBy(undefined, { isOpen: true, kicksFrom: 'siblings' })
    relay = await LiveRelay.start({ threadCount, admission })
  })
  afterAll(async () => await relay[Symbol.asyncDispose]())

  it.each(['fast-start', 'upgrade', 'websocket'] as const)('logs clients in by %s', async (way) => {
    const alice = await relay.client({ way })
    const bob = await relay.client()
    expect(alice.way).toBe(way)
    alice.send(bob.publicKey, packet)
    const there = await bob.next('packet')
    expect(toHex(there.source)).toBe(toHex(alice.publicKey))
    bob.send(alice.publicKey, there.packet)
    expect(Buffer.from((await alice.next('packet')).packet)).toEqual(packet)
  })

  it('carries packets between every pair of many clients, on whichever threads they are', async () => {
    const clients = await Promise.all(Array.from({ length: 12 }, async () => await relay.client()))
    const pairs = clients.flatMap((from) => clients.map((to) => ({ from, to })))
    await Promise.all(
      pairs.map(async ({ from, to }) => {
        const arrival = to.next('packet', ({ source }) => toHex(source) === toHex(from.publicKey))
        from.send(to.publicKey, packet)
        await arrival
      }),
    )
  })

  it('reports the real address of raw and WebSocket clients, and their flags, to watchers', async () => {
    const watcher = await relay.client({ meshKey: MESH_KEY })
    const present = new Map<string, { address: string; flags: number; appName: string | undefined }>()
    watcher.on('peerPresent', (presence) => {
      const address = `${ipToText(presence.ip)}:${presence.port}`
      present.set(toHex(presence.key), { address, flags: presence.flags, appName: presence.appName })
    })
    watcher.watch()
    const key = newKeyPair()
    const web = await relay.client({ way: 'websocket', appName: 'browser' })
    const prober = await relay.client({ isProber: true, idealNode: '900a' })
    const raw = await RawSocket.tls(relay.port)
    const login = loginFrame(relay.settings.nodeKey.publicKey, key)
    raw.send(concatBytes(upgradeRequest('localhost', { isFastStart: true }), login))
    await raw.atLeast(45 + 58)
    await watcher.ping()
    expect(present.get(toHex(key.publicKey))).toEqual({
      address: `127.0.0.1:${raw.socket.localPort}`,
      flags: PresenceFlag.regular,
      appName: '',
    })
    expect(present.get(toHex(web.publicKey))?.address).toMatch(/^127\.0\.0\.1:[1-9]\d+$/)
    expect(present.get(toHex(web.publicKey))?.appName).toBe('browser')
    expect(present.get(toHex(prober.publicKey))?.flags).toBe(PresenceFlag.prober | PresenceFlag.notIdeal)
    expect(present.get(toHex(watcher.publicKey))?.flags).toBe(PresenceFlag.meshPeer)
    raw.destroy()
  })

  it('delivers to the session that connected or sent last, and to the one before when that leaves', async () => {
    const [key, sender] = [newKeyPair(), await relay.client()]
    // Several sessions, so that some are on different threads.
    const sessions = [await relay.client({ key }), await relay.client({ key }), await relay.client({ key })]
    const gone: unknown[] = []
    sender.on('peerGone', (event) => gone.push(event))
    const arrivesAt = async (session: DerpClient | undefined): Promise<void> => {
      const arrival = session?.next('packet')
      sender.send(key.publicKey, packet)
      await arrival
    }
    await arrivesAt(sessions[2])
    await sessions[0]?.ping()
    await arrivesAt(sessions[0])
    await sessions[1]?.ping()
    await arrivesAt(sessions[1])
    await sessions[1]?.close()
    await expect
      .poll(async () => {
        const arrival = Promise.race([
          sessions[0]?.next('packet').then(() => 0),
          sessions[2]?.next('packet').then(() => 2),
          new Promise((resolve) => setTimeout(resolve, 200, 'not delivered')),
        ])
        sender.send(key.publicKey, packet)
        return await arrival
      })
      .toBe(0)
    expect(gone).toEqual([])
  })

  it('reports that a client has left to the clients that received its packets, and to no others', async () => {
    const [alice, bob, cathy] = [await relay.client(), await relay.client(), await relay.client()]
    const reports: string[] = []
    cathy.on('peerGone', () => reports.push('cathy'))
    cathy.send(alice.publicKey, packet)
    alice.send(bob.publicKey, packet)
    await bob.next('packet')
    const gone = bob.next('peerGone')
    await alice.close()
    expect(toHex((await gone).key)).toBe(toHex(alice.publicKey))
    await cathy.ping()
    expect(reports).toEqual([])
  })

  it('closes all connections of a key when a sibling asks for it', async () => {
    const sibling = await relay.client({ meshKey: MESH_KEY })
    const key = newKeyPair()
    const sessions = await Promise.all([1, 2, 3].map(async () => await relay.client({ key })))
    const closed = sessions.map(async (session) => await session.next('closed'))
    sibling.closePeer(key.publicKey)
    await Promise.all(closed)
  })
})

describe('a TLS relay', () => {
  let relay: LiveRelay
  beforeAll(async () => {
    relay = await LiveRelay.start()
  })
  afterAll(async () => await relay[Symbol.asyncDispose]())

  it('delivers 10,000 packets in order and without loss to a client that keeps up', async () => {
    const [alice, bob] = [await relay.client(), await relay.client()]
    const count = 10_000
    let next = 0
    const all = new Promise<void>((resolve, reject) => {
      bob.on('packet', (received) => {
        const number = Buffer.from(received.packet).readUInt32BE(0)
        if (number !== next++) reject(new Error(`packet ${number} arrived as number ${next - 1}`))
        if (next === count) resolve()
      })
    })
    const numbered = Buffer.alloc(100)
    for (let number = 0; number < count; number++) {
      // At most thirty in transit, as with derpprobe.
      while (number - next >= 30) await new Promise((resolve) => setImmediate(resolve))
      numbered.writeUInt32BE(number)
      alice.send(bob.publicKey, numbered)
    }
    await all
  })

  it('carries 64 KiB packets over WebSocket and raw DERP', async () => {
    const big = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (7 * i + 3) & 0xff))
    const alice = await relay.client({ way: 'websocket', webSocketMessageBytesMax: 32_768 })
    const bob = await relay.client()
    alice.send(bob.publicKey, big)
    expect(Buffer.from((await bob.next('packet')).packet)).toEqual(big)
    bob.send(alice.publicKey, big)
    expect(Buffer.from((await alice.next('packet')).packet)).toEqual(big)
  })
})

it('serves the same over plain TCP', async () => {
  await using relay = await LiveRelay.start({ certificate: undefined, threadCount: 2 })
  const [alice, bob] = [await relay.client(), await relay.client({ way: 'websocket' })]
  expect(alice.way).toBe('upgrade')
  alice.send(bob.publicKey, packet)
  expect(Buffer.from((await bob.next('packet')).packet)).toEqual(packet)
})

it('keeps its key across a restart, and clients reconnect by themselves', async () => {
  const first = await LiveRelay.start()
  const { nodeKey } = first.settings
  const derp = { host: '127.0.0.1', port: first.port }
  const alice = new ReconnectingDerpClient({ ...first.target(), key: newKeyPair() })
  const connected = alice.next('connected')
  alice.start()
  await connected
  const again = alice.next('connected')
  await first[Symbol.asyncDispose]()
  await using second = await LiveRelay.start({ nodeKey, derp })
  await again
  const bob = await second.client()
  expect(toHex(bob.serverKey ?? new Uint8Array(0))).toBe(toHex(nodeKey.publicKey))
  bob.send(alice.publicKey, packet)
  expect(Buffer.from((await alice.next('packet')).packet)).toEqual(packet)
  await alice.close()
})

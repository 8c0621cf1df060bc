// Reconnecting after a refusal and after a loss, repeating what the server must know, and never after close.

import { expect, onTestFinished, test, vi } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient, type ReconnectingEvents } from '#client/reconnecting-derp-client.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { recvPacketFrame, restartingFrame } from '#protocol/frames.ts'
import { FakeServer, type FakeServerSession } from './fake-server.ts'

const bob = newKeyPair().publicKey
const packet = Buffer.from('hello, derp')

function clientOf(server: FakeServer): ReconnectingDerpClient {
  const target = { host: '127.0.0.1', port: server.port, tls: false, key: newKeyPair() } as const
  return new ReconnectingDerpClient(target, () => 0.5)
}

test('reconnects when a server that goes away says so, at most a minute later, and once only', async () => {
  await using server = await FakeServer.start()
  await using client = clientOf(server)
  client.start()
  const waits: number[] = []
  for (const advice of [0, 40, undefined, 0xffff_ffff]) {
    await client.next('connected')
    const session = await server.nextSession()
    const told = client.next('restarting')
    if (advice === undefined) told.catch(() => undefined)
    else session.write(restartingFrame(advice, 0))
    if (advice !== undefined) await told
    const lost = client.next('disconnected')
    session.socket.end()
    waits.push((await lost).retryInMs)
  }
  expect(waits).toEqual([0, 40, 10, 60_000])
})

test('reconnects after a loss, with the same listeners', async () => {
  await using server = await FakeServer.start()
  await using client = clientOf(server)
  const sources: string[] = []
  client.on('packet', ({ source }) => sources.push(Buffer.from(source).toString('hex')))
  client.start()
  for (let i = 0; i < 3; i++) {
    await client.next('connected')
    const session = await server.nextSession()
    const received = client.next('packet')
    session.write(recvPacketFrame(bob, packet))
    await received
    expect(client.send(bob, packet)).toBe(true)
    expect((await session.nextFrame()).type).toBe(FrameType.sendPacket)
    const lost = client.next('disconnected')
    session.socket.end()
    // An admission resets the failure count.
    expect(await lost).toEqual({
      reason: { kind: 'ended', message: 'the server closed the connection' },
      failureCount: 1,
      retryInMs: 10,
    })
    expect(client.send(bob, packet)).toBe(false)
    await expect(client.ping()).rejects.toThrow('not connected')
  }
  expect(sources).toEqual(Array(3).fill(Buffer.from(bob).toString('hex')))
})

test('waits longer after each refusal, and an admission resets the delay', async () => {
  let refusals = 0
  await using server = await FakeServer.start({
    onLogin: (session) => (++refusals <= 4 ? session.socket.end() : session.admit()),
  })
  await using client = clientOf(server)
  const delaysMs: number[] = []
  client.on('disconnected', ({ retryInMs, reason }) => {
    delaysMs.push(retryInMs)
    if (reason instanceof Error) expect(reason.message).toBe('not admitted: the server closed the connection')
  })
  client.start()
  await client.next('connected')
  const sessions: FakeServerSession[] = []
  for (let i = 0; i < 5; i++) sessions.push(await server.nextSession())
  sessions.at(-1)?.socket.end()
  await client.next('disconnected')
  expect(delaysMs).toEqual([10, 40, 90, 160, 10])
})

test('repeats home and watch, and sends changes made during the login after it', async () => {
  const logins: FakeServerSession[] = []
  const { promise: isFirst, resolve: first } = Promise.withResolvers<FakeServerSession>()
  await using server = await FakeServer.start({
    onLogin: (session) => {
      logins.push(session)
      if (logins.length === 1) first(session)
      else session.admit()
    },
  })
  await using client = clientOf(server)
  client.start()
  const session = await isFirst
  client.notePreferred(true)
  client.watch()
  session.admit()
  const sent = [await session.nextFrame(), await session.nextFrame()]
  session.socket.end()
  await client.next('connected')
  const again = [await logins[1]?.nextFrame(), await logins[1]?.nextFrame()]
  const expected = [
    { type: FrameType.notePreferred, payload: Buffer.from([1]) },
    { type: FrameType.watchConns, payload: Buffer.alloc(0) },
  ]
  expect([sent, again]).toEqual([expected, expected])
})

test('close ends the client in every state', async () => {
  await using server = await FakeServer.start()
  const events: (keyof ReconnectingEvents)[] = []
  const ends: string[] = []
  const observed = (client: ReconnectingDerpClient): ReconnectingDerpClient => {
    for (const name of ['connected', 'disconnected'] as const) client.on(name, () => events.push(name))
    client.on('closed', ({ kind }) => ends.push(kind))
    return client
  }
  const unstarted = observed(clientOf(server))
  await unstarted.close()
  const connecting = observed(clientOf(server))
  connecting.start()
  await connecting.close()
  const connected = observed(clientOf(server))
  connected.start()
  await connected.next('connected')
  await connected.close()
  await connected.close()
  expect(connected.isConnected).toBe(false)
  const retrying = observed(clientOf(server))
  await server[Symbol.asyncDispose]()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  retrying.start()
  await retrying.next('disconnected')
  expect(vi.getTimerCount()).toBe(1)
  await retrying.close()
  expect(vi.getTimerCount()).toBe(0)
  expect(events).toEqual(['connected', 'disconnected'])
  expect(ends).toEqual(['closed', 'closed', 'closed', 'closed'])
  await expect(retrying.next('connected')).rejects.toThrow('closed by this side')
})

test('of several servers it takes another one when the first is lost', async () => {
  const servers = [await FakeServer.start(), await FakeServer.start()]
  onTestFinished(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]()
  })
  const targets = servers.map(({ port }) => ({ host: '127.0.0.1', port, tls: false }) as const)
  await using client = new ReconnectingDerpClient({ targets, key: newKeyPair() }, () => 0.5)
  client.start()
  await client.next('connected')
  const first = servers.findIndex(
    ({ key }) => Buffer.compare(key.publicKey, client.client.serverKey ?? key.privateKey) === 0,
  )
  await servers[first]?.[Symbol.asyncDispose]()
  await client.next('connected')
  expect(client.client.serverKey).toEqual(servers[1 - first]?.key.publicKey)
})

test('with liveness, a server that is silent while packets are sent is left within the time, an idle one is not', async () => {
  await using server = await FakeServer.start()
  const target = { host: '127.0.0.1', port: server.port, tls: false, key: newKeyPair() } as const
  await using client = new ReconnectingDerpClient({
    ...target,
    liveness: { pingEveryMs: 20, deadAfterMs: 60 },
  })
  const losses: unknown[] = []
  client.on('disconnected', ({ reason }) => losses.push(reason))
  client.start()
  await client.next('connected')
  const session = await server.nextSession()
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(losses).toEqual([])
  const lost = client.next('disconnected')
  client.send(bob, packet)
  expect((await lost).reason).toMatchObject({ kind: 'silent' })
  expect((await session.nextFrame()).type).toBe(FrameType.sendPacket)
  expect((await session.nextFrame()).type).toBe(FrameType.ping)
  await client.next('connected')
})

test('what waits to be sent can be read, is sent in one write, and does not hold up destroy', async () => {
  await using server = await FakeServer.start()
  const client = clientOf(server)
  client.start()
  await client.next('connected')
  const session = await server.nextSession()
  session.socket.pause()
  expect(client.queuedBytes).toBe(0)
  const batch = Array.from({ length: 64 }, () => ({ destination: bob, packet: Buffer.alloc(65_000) }))
  for (let i = 0; i < 8; i++) client.sendAll(batch)
  expect(client.queuedBytes).toBeGreaterThan(64 * 65_000)
  const closed = client.next('closed')
  client.destroy()
  expect((await closed).kind).toBe('closed')
  expect(client.isConnected).toBe(false)
  session.socket.resume()
  expect((await session.nextFrame()).payload.length).toBe(65_032)
})

test('redial cuts the connection and makes another one', async () => {
  await using server = await FakeServer.start()
  await using client = clientOf(server)
  client.start()
  await client.next('connected')
  const lost = client.next('disconnected')
  client.redial()
  await lost
  await client.next('connected')
})

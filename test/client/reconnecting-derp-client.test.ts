// Coming back: after a refusal, after a loss, with what the server must be told again, and never after close.

import { expect, onTestFinished, test, vi } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient, type ReconnectingEvents } from '#client/reconnecting-derp-client.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { recvPacketFrame } from '#protocol/frames.ts'
import { InTestServer, type InTestSession } from './in-test-server.ts'

const bob = newKeyPair().publicKey
const packet = Buffer.from('hello, derp')

function clientOf(server: InTestServer): ReconnectingDerpClient {
  const target = { host: '127.0.0.1', port: server.port, tls: false, key: newKeyPair() } as const
  return new ReconnectingDerpClient(target, () => 0.5)
}

test('it comes back after a loss, with the same listeners', async () => {
  await using server = await InTestServer.start()
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
    // A connection that received something starts the count anew.
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

test('refusals wait longer each time, and an admission starts anew', async () => {
  let refusals = 0
  await using server = await InTestServer.start({
    onLogin: (session) => (++refusals <= 4 ? session.socket.end() : session.admit()),
  })
  await using client = clientOf(server)
  const waits: number[] = []
  client.on('disconnected', ({ retryInMs, reason }) => {
    waits.push(retryInMs)
    if (reason instanceof Error) expect(reason.message).toBe('not admitted: the server closed the connection')
  })
  client.start()
  await client.next('connected')
  const sessions: InTestSession[] = []
  for (let i = 0; i < 5; i++) sessions.push(await server.nextSession())
  sessions.at(-1)?.socket.end()
  await client.next('disconnected')
  expect(waits).toEqual([10, 40, 90, 160, 10])
})

test('home and watching are said again, and what changes during the login is said after it', async () => {
  const logins: InTestSession[] = []
  const { promise: isFirst, resolve: first } = Promise.withResolvers<InTestSession>()
  await using server = await InTestServer.start({
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
  const said = [await session.nextFrame(), await session.nextFrame()]
  session.socket.end()
  await client.next('connected')
  const again = [await logins[1]?.nextFrame(), await logins[1]?.nextFrame()]
  const expected = [
    { type: FrameType.notePreferred, payload: Buffer.from([1]) },
    { type: FrameType.watchConns, payload: Buffer.alloc(0) },
  ]
  expect([said, again]).toEqual([expected, expected])
})

test('close ends it, whatever it was doing', async () => {
  await using server = await InTestServer.start()
  const told: (keyof ReconnectingEvents)[] = []
  const ends: string[] = []
  const watched = (client: ReconnectingDerpClient): ReconnectingDerpClient => {
    for (const name of ['connected', 'disconnected'] as const) client.on(name, () => told.push(name))
    client.on('closed', ({ kind }) => ends.push(kind))
    return client
  }
  const unstarted = watched(clientOf(server))
  await unstarted.close()
  const connecting = watched(clientOf(server))
  connecting.start()
  await connecting.close()
  const standing = watched(clientOf(server))
  standing.start()
  await standing.next('connected')
  await standing.close()
  await standing.close()
  expect(standing.isConnected).toBe(false)
  const retrying = watched(clientOf(server))
  await server[Symbol.asyncDispose]()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  retrying.start()
  await retrying.next('disconnected')
  expect(vi.getTimerCount()).toBe(1)
  await retrying.close()
  expect(vi.getTimerCount()).toBe(0)
  expect(told).toEqual(['connected', 'disconnected'])
  expect(ends).toEqual(['closed', 'closed', 'closed', 'closed'])
  await expect(retrying.next('connected')).rejects.toThrow('closed by this side')
})

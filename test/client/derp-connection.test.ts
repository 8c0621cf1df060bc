// The open raw connection: bytes in both directions, limits, pausing, and every kind of end.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { SharedResources } from '#client/shared-resources.ts'
import type { TargetOptions } from '#client/target.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { frame, serverKeyFrame } from '#protocol/handshake.ts'
import { switchingProtocols } from '#protocol/upgrade.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { FakeServer, type FakeServerSession } from './fake-server.ts'
import { greeting, FrameRecorder, text } from './frame-recorder.ts'
import { temporaryFolder } from './temporary-folder.ts'

const host = '127.0.0.1'
const folder = temporaryFolder()
let certificate: Certificate

beforeAll(async () => {
  certificate = await makeCertificate(folder(), 'localhost')
})

test('any bytes are sent unchanged', async () => {
  await using server = await FakeServer.start({ onRequest: () => undefined })
  const opened = await FrameRecorder.open({
    host,
    port: server.port,
    tls: false,
    serverKey: server.key.publicKey,
  })
  await using connection = opened.connection
  const { socket } = await server.nextSession()
  const arrival = once(socket, 'data')
  connection.write(Buffer.from('\xff\x00any', 'latin1'))
  expect(await arrival).toEqual([Buffer.from('\xff\x00any', 'latin1')])
})

/** Opens a plain connection to a fake server that acts when the connection is open. */
async function openTo(
  act: (session: FakeServerSession) => unknown,
  options: Partial<TargetOptions> = {},
): Promise<FrameRecorder> {
  const server = await FakeServer.start({
    onRequest: (session) => {
      session.write(switchingProtocols(server.key.publicKey))
      act(session)
    },
  })
  const opened = await FrameRecorder.open({ host, port: server.port, tls: false, ...options })
  void opened.ended.finally(() => server[Symbol.asyncDispose]())
  return opened
}

test('every kind of end is reported', async () => {
  const ended = await openTo((session) => session.socket.end(text(0x14, 'last words')))
  expect(await ended.ended).toEqual({ kind: 'ended', message: 'the server closed the connection' })
  expect(ended.frames).toEqual(['20:last words'])
  // A reset with unread data may look like a close. Here there is none.
  const broken = await openTo((session) =>
    session.socket.once('data', () => session.socket.resetAndDestroy()),
  )
  broken.connection.write(greeting)
  expect(await broken.ended).toMatchObject({ kind: 'broken', cause: { code: 'ECONNRESET' } })
  const silent = await openTo(() => undefined, { silenceTimeoutMs: 30 })
  expect(await silent.ended).toEqual({ kind: 'silent', message: 'no frame within 30 ms' })
  const closed = await openTo(() => undefined)
  await closed.connection.close()
  expect(await closed.ended).toEqual({ kind: 'closed', message: 'closed by this side' })
  const cut = await openTo(() => undefined)
  cut.connection.destroy()
  expect(await cut.ended).toEqual({ kind: 'closed', message: 'cut by this side' })
  expect(cut.connection.write(greeting)).toBe(false)
  await expect(cut.connection.drained()).rejects.toThrow('the connection is not open: cut by this side')
})

test('120 s without a whole frame end the connection, even if bytes arrive', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { promise: isReady, resolve: ready } = Promise.withResolvers<FakeServerSession>()
  const opened = await openTo(ready)
  const session = await isReady
  for (const count of [1, 2]) {
    vi.advanceTimersByTime(119_999)
    expect(opened.connection.isOpen).toBe(true)
    session.write(frame(FrameType.keepAlive))
    await opened.received(count)
  }
  vi.advanceTimersByTime(119_999)
  session.write(Buffer.from([0x77, 0, 0, 0x10, 0]), Buffer.from('half a payload'))
  // When the other connection has a frame, the bytes written to this one before have arrived, too.
  const other = await openTo((later) => later.write(frame(FrameType.keepAlive)))
  await other.received(1)
  vi.advanceTimersByTime(1)
  expect(await opened.ended).toEqual({ kind: 'silent', message: 'no frame within 120000 ms' })
  expect(other.connection.isOpen).toBe(true)
  other.connection.destroy()
})

test('a connection that ends returns its pooled buffers', async () => {
  const shared = new SharedResources()
  const opened = await openTo(
    (session) => session.write(text(0x14, 'a'), Buffer.from([0x77, 0, 0, 9, 9, 9])),
    {
      shared,
    },
  )
  await opened.received(1)
  expect(shared.pool.lentBytes).toBeGreaterThan(0)
  await opened.connection.close()
  expect(shared.pool.lentBytes).toBe(0)
})

test('the limits of frame lengths', async () => {
  const header = (type: number, bytes: number): Buffer => {
    const five = Buffer.from([type, 0, 0, 0, 0])
    five.writeUInt32BE(bytes, 1)
    return five
  }
  const large = await openTo((session) =>
    session.write(header(0x77, 1_048_576), Buffer.alloc(1_048_576, 'x')),
  )
  await large.received(1)
  expect(large.frames[0]?.length).toBe('119:'.length + 1_048_576)
  large.connection.destroy()
  const tooLarge = await openTo((session) => session.write(header(0x77, 1_048_577)))
  expect(await tooLarge.ended).toEqual({
    kind: 'violated',
    message: 'the server sent a frame of type 119 with 1048577 bytes, over 1048576',
  })
  const longKey = await openTo((session) => session.write(header(FrameType.serverKey, 1_025)))
  expect(await longKey.ended).toMatchObject({
    kind: 'violated',
    message: expect.stringMatching(/type 1 with 1025 bytes, over 1024/),
  })
})

test('frames after the one on which the handler closes are not delivered', async () => {
  const { promise: isReady, resolve: ready } = Promise.withResolvers<void>()
  const opened = await openTo((session) =>
    isReady.then(() => session.write(text(0x14, 'a'), text(0x14, 'b'), text(0x14, 'c'))),
  )
  opened.onFrame = () => opened.frames.length === 2 && opened.connection.destroy()
  ready()
  await opened.ended
  expect(opened.frames).toEqual(['20:a', '20:b'])
})

test('a paused connection blocks the server, and delivers everything when resumed', async () => {
  const payload = Buffer.alloc(1_000_000, 'x')
  // More than the kernel buffers on both sides of a loopback connection.
  const count = 64
  const { promise: isReady, resolve: ready } = Promise.withResolvers<void>()
  const { promise: isStuck, resolve: stuck } = Promise.withResolvers<FakeServerSession>()
  const opened = await openTo(async (session) => {
    await isReady
    for (let i = 0; i < count; i++) session.write(frame(FrameType.health, payload))
    let before = -1
    const timer = setInterval(() => {
      const { writableLength } = session.socket
      if (writableLength === before) stuck(session)
      if (writableLength === before) clearInterval(timer)
      before = writableLength
    }, 50)
  })
  opened.connection.pause()
  ready()
  const { socket } = await isStuck
  expect(socket.writableLength).toBeGreaterThan(1_000_000)
  const before = opened.frames.length
  opened.connection.resume()
  await opened.received(count)
  expect(before).toBeLessThan(count)
  await opened.connection.close()
})

test('connections can share buffers and TLS contexts', async () => {
  const shared = new SharedResources()
  await using server = await FakeServer.start({
    certificate,
    onRequest: (session) =>
      session.write(serverKeyFrame(server.key.publicKey), text(0x77, 'x'.repeat(100_000))),
  })
  const tls = { isInsecure: true }
  const target = { host, port: server.port, tls, shared }
  const all = await Promise.all(Array.from({ length: 20 }, () => FrameRecorder.open(target)))
  await Promise.all(all.map((opened) => opened.received(2)))
  expect(all.map((opened) => opened.frames[1]?.length)).toEqual(Array(20).fill('119:'.length + 100_000))
  await Promise.all(all.map((opened) => opened.connection.close()))
  expect(shared.pool.lentBytes).toBe(0)
})

test('WebSocket with an independent server: long messages, text, close by either side', async () => {
  const closes: number[] = []
  const sockets: WebSocket[] = []
  const webSockets = new WebSocketServer({ host, port: 0, maxPayload: 32_768, handleProtocols: () => 'derp' })
  onTestFinished(() => webSockets.close())
  webSockets.on('connection', (socket) => {
    sockets.push(socket)
    socket.on('message', (message) => socket.send(message))
    socket.on('close', (code) => closes.push(code))
    socket.on('error', () => undefined)
  })
  await once(webSockets, 'listening')
  const { port } = webSockets.address() as AddressInfo
  const open = (options: Partial<TargetOptions> = {}): Promise<FrameRecorder> =>
    FrameRecorder.open({ url: `ws://${host}:${port}/derp`, ...options })
  const long = text(0x77, 'x'.repeat(100_000))

  const echoed = await open()
  echoed.connection.write(long)
  await echoed.received(1)
  expect(echoed.frames[0]).toBe(`119:${'x'.repeat(100_000)}`)
  await echoed.connection.close()
  expect(await echoed.ended).toMatchObject({ kind: 'closed' })

  const oneMessage = await open()
  sockets.at(-1)?.send(long)
  await oneMessage.received(1)
  sockets.at(-1)?.close(1008, 'go')
  expect(await oneMessage.ended).toEqual({
    kind: 'ended',
    message: 'the server closed the WebSocket with 1008: "go"',
  })

  const asBrowser = await open({ webSocketMessageBytesMax: 32_768 })
  sockets.at(-1)?.send(long)
  expect(await asBrowser.ended).toMatchObject({
    kind: 'violated',
    message: expect.stringMatching(/more than 32768 bytes/),
  })

  const asText = await open()
  sockets.at(-1)?.send('hello')
  expect(await asText.ended).toEqual({ kind: 'violated', message: 'the server sent a text message' })

  const closing = await open()
  closing.onFrame = () => closing.connection.destroy()
  // The client reads both at once: it does so only after this turn.
  sockets.at(-1)?.send(text(0x14, 'a'))
  sockets.at(-1)?.send(text(0x14, 'b'))
  await closing.ended
  expect(closing.frames).toEqual(['20:a'])

  const plain = FrameRecorder.open({ url: `ws://${host}:${port}/derp`, way: 'websocket' })
  await (await plain).connection.close()
  await vi.waitFor(() => expect(closes).toEqual([1000, 1008, 1009, 1003, 1006, 1000]))
})

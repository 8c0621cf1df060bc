// The raw connection: what is written in which order and in how many pieces, what is refused, and how every kind
// of end is told.

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as uWS from 'uWebSockets.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ConnectionEnd } from '#client/connect-error.ts'
import { DerpConnection } from '#client/derp-connection.ts'
import { SharedResources } from '#client/shared-resources.ts'
import type { TargetOptions } from '#client/target.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { frame, serverKeyFrame } from '#protocol/handshake.ts'
import { switchingProtocols } from '#protocol/upgrade.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { InTestServer, type InTestSession } from './in-test-server.ts'

let folder = ''
let certificate: Certificate
const host = '127.0.0.1'
const greeting = Buffer.from('the first frames')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'derpfleet-'))
  certificate = await makeCertificate(folder, 'localhost')
})

afterAll(() => rm(folder, { recursive: true, force: true }))

/** A connection that records what comes. */
class Recorder {
  readonly frames: string[] = []
  readonly connection: DerpConnection
  readonly #ended = Promise.withResolvers<ConnectionEnd>()
  readonly ended = this.#ended.promise
  onFrame: () => unknown = () => undefined

  constructor(options: TargetOptions) {
    this.connection = new DerpConnection(options, {
      onFrame: (type, buffer, start, end) => {
        this.frames.push(`${type}:${buffer.toString('latin1', start, end)}`)
        this.onFrame()
      },
      onClosed: (end) => this.#ended.resolve(end),
      greet: () => greeting,
    })
  }

  static async open(options: TargetOptions): Promise<Recorder> {
    const recorder = new Recorder(options)
    await recorder.connection.open()
    return recorder
  }

  /** Resolves once this many frames have come. */
  framesOf(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.onFrame = () => (this.frames.length >= count ? resolve() : undefined)
      this.onFrame()
    })
  }
}

const text = (type: number, payload: string): Uint8Array => frame(type as FrameType, Buffer.from(payload))

test('fast start writes the request and the greeting at once', async () => {
  const requests: InTestSession[] = []
  await using server = await InTestServer.start({
    certificate,
    onRequest: (session) => requests.push(session),
  })
  const { port } = server
  const tls = { isInsecure: true }
  const opened = await Recorder.open({ host: 'localhost', dialAddress: host, port, tls, idealNode: '900a' })
  await using connection = opened.connection
  const session = await server.nextSession()
  const request = [
    'GET /derp HTTP/1.1',
    `Host: localhost:${port}`,
    'User-Agent: Go-http-client/1.1',
    'Connection: Upgrade',
    'Derp-Fast-Start: 1',
    'Ideal-Node: 900a',
    'Upgrade: DERP',
    '\r\n',
  ].join('\r\n')
  expect(session.firstChunk.toString('latin1')).toBe(`${request}${greeting.toString()}`)
  expect(connection.way).toBe('fast-start')
  expect(connection.serverKey).toEqual(server.key.publicKey)
})

test('a known key starts fast on plaintext too', async () => {
  await using server = await InTestServer.start({ onRequest: () => undefined })
  const opened = await Recorder.open({ host, port: server.port, tls: false, serverKey: server.key.publicKey })
  await using _connection = opened.connection
  const session = await server.nextSession()
  expect(session.head).toContain('\r\nDerp-Fast-Start: 1\r\n')
  expect(session.firstChunk.toString('latin1').endsWith(greeting.toString())).toBe(true)
})

test('fast start without a meta certificate fails, and nothing is sent', async () => {
  const requests: InTestSession[] = []
  await using server = await InTestServer.start({
    certificate,
    hasMetaCertificate: false,
    onRequest: (session) => requests.push(session),
  })
  const target = { host, port: server.port, tls: { isInsecure: true }, way: 'fast-start' } as const
  await expect(Recorder.open(target)).rejects.toMatchObject({
    stage: 'upgrade',
    message: expect.stringMatching(/no meta certificate/),
  })
  expect(requests).toEqual([])
})

test('an answer and frames cut after every byte', async () => {
  await using server = await InTestServer.start({
    onRequest: (session) => {
      session.socket.setNoDelay(true)
      const bytes = Buffer.concat([
        switchingProtocols(server.key.publicKey),
        text(0x14, 'one'),
        text(0x77, 'two'),
      ])
      const next = (at: number): void => {
        if (at < bytes.length)
          session.socket.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1))
      }
      next(0)
    },
  })
  const opened = await Recorder.open({ host, port: server.port, tls: false })
  await using connection = opened.connection
  await opened.framesOf(2)
  expect(opened.frames).toEqual(['20:one', '119:two'])
  expect(connection.answerHead).toBe(Buffer.from(switchingProtocols(server.key.publicKey)).toString('latin1'))
  expect(connection.way).toBe('upgrade')
})

test('bytes of any kind leave as they are', async () => {
  await using server = await InTestServer.start({ onRequest: () => undefined })
  const opened = await Recorder.open({ host, port: server.port, tls: false, serverKey: server.key.publicKey })
  await using connection = opened.connection
  const { socket } = await server.nextSession()
  const [received] = await Promise.all([
    once(socket, 'data'),
    connection.write(Buffer.from('\xff\x00any', 'latin1')),
  ])
  expect(received).toEqual([Buffer.from('\xff\x00any', 'latin1')])
})

test.each([
  [
    'with a reason',
    'HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\nnot on a "list"',
    { status: 403, message: 'the server answered 403 Forbidden: "not on a \\"list\\""' },
  ],
  [
    'with a long body that never ends',
    `HTTP/1.1 502 Bad Gateway\r\n\r\n${'x'.repeat(3000)}`,
    { status: 502, message: `the server answered 502 Bad Gateway: "${'x'.repeat(1024)}"` },
  ],
  [
    'with a body that stops short',
    'HTTP/1.1 426 No\r\nContent-Length: 9\r\n\r\nhm',
    { message: 'the server answered 426 No: "hm"' },
  ],
  ['that is not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', { message: 'the server did not answer in HTTP/1.1' }],
  ['without an end', `HTTP/1.1 101 ${'x'.repeat(20_000)}`, { message: 'the HTTP answer has no end' }],
])('an answer %s', async (_what, answer, error) => {
  await using server = await InTestServer.start({
    onRequest: (session) => session.write(Buffer.from(answer)),
  })
  const opening = Recorder.open({ host, port: server.port, tls: false })
  await expect(opening).rejects.toMatchObject({ stage: 'upgrade', ...error })
})

test('who does not answer, or closes instead', async () => {
  await using silent = await InTestServer.start({ onRequest: () => undefined })
  const target = { host, tls: false, connectTimeoutMs: 50 } as const
  const waiting = Recorder.open({ ...target, port: silent.port })
  await expect(waiting).rejects.toMatchObject({ stage: 'upgrade', message: 'not connected within 50 ms' })
  await using closing = await InTestServer.start({ onRequest: (session) => session.socket.end() })
  const closed = Recorder.open({ ...target, port: closing.port })
  await expect(closed).rejects.toMatchObject({
    stage: 'upgrade',
    message: expect.stringMatching(/the server closed the connection$/),
  })
  const { port } = closing
  await closing[Symbol.asyncDispose]()
  await expect(Recorder.open({ ...target, port })).rejects.toMatchObject({
    stage: 'dial',
    message: expect.stringMatching(/ECONNREFUSED/),
  })
})

test('a listener that never speaks TLS fails in that stage', async () => {
  const sockets: Socket[] = []
  const listener = createServer((socket) => sockets.push(socket)).listen(0, host)
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const opening = Recorder.open({ host, port, connectTimeoutMs: 50 })
  await expect(opening).rejects.toMatchObject({ stage: 'tls', message: 'not connected within 50 ms' })
  for (const socket of sockets) socket.destroy()
  listener.close()
})

test('closing while connecting refuses the opening', async () => {
  await using server = await InTestServer.start({ onRequest: () => undefined })
  const { connection } = new Recorder({ host, port: server.port, tls: false })
  const opening = connection.open()
  await server.nextSession()
  await connection.close()
  await expect(opening).rejects.toMatchObject({ message: 'closed while connecting' })
})

/** Opens a plain connection to a server that does this once the connection is open. */
async function ending(
  act: (session: InTestSession) => unknown,
  options: Partial<TargetOptions> = {},
): Promise<Recorder> {
  const server = await InTestServer.start({
    onRequest: (session) => {
      session.write(switchingProtocols(server.key.publicKey))
      act(session)
    },
  })
  const opened = await Recorder.open({ host, port: server.port, tls: false, ...options })
  void opened.ended.finally(() => server[Symbol.asyncDispose]())
  return opened
}

test('every end has its kind', async () => {
  const ended = await ending((session) => session.socket.end(text(0x14, 'last words')))
  expect(await ended.ended).toEqual({ kind: 'ended', message: 'the server closed the connection' })
  expect(ended.frames).toEqual(['20:last words'])
  // A reset behind unread data may look like an end; this one comes alone.
  const broken = await ending((session) =>
    session.socket.once('data', () => session.socket.resetAndDestroy()),
  )
  broken.connection.write(greeting)
  expect(await broken.ended).toMatchObject({ kind: 'broken', cause: { code: 'ECONNRESET' } })
  const silent = await ending(() => undefined, { silenceTimeoutMs: 30 })
  expect(await silent.ended).toEqual({ kind: 'silent', message: 'no frame within 30 ms' })
  const closed = await ending(() => undefined)
  await closed.connection.close()
  expect(await closed.ended).toEqual({ kind: 'closed', message: 'closed by this side' })
  const cut = await ending(() => undefined)
  cut.connection.destroy()
  expect(await cut.ended).toEqual({ kind: 'closed', message: 'cut by this side' })
  expect(cut.connection.write(greeting)).toBe(false)
  await expect(cut.connection.drained()).rejects.toThrow('the connection is not open: cut by this side')
})

test('only whole frames break the silence', async () => {
  const drip =
    (bytes: Uint8Array) =>
    (session: InTestSession): void => {
      const timer = setInterval(() => session.write(bytes), 5)
      session.socket.once('close', () => clearInterval(timer))
    }
  const alive = await ending(drip(frame(FrameType.keepAlive)), { silenceTimeoutMs: 40 })
  await alive.framesOf(20)
  expect(alive.connection.isOpen).toBe(true)
  await alive.connection.close()
  const half = Buffer.from([0x77, 0, 0x0f, 0, 0])
  const silent = await ending(
    (session) => {
      session.write(half)
      drip(Buffer.from('x'))(session)
    },
    { silenceTimeoutMs: 40 },
  )
  expect(await silent.ended).toEqual({ kind: 'silent', message: 'no frame within 40 ms' })
  expect(silent.frames).toEqual([])
})

test('the limits on frames', async () => {
  const header = (type: number, bytes: number): Buffer => {
    const five = Buffer.from([type, 0, 0, 0, 0])
    five.writeUInt32BE(bytes, 1)
    return five
  }
  const large = await ending((session) =>
    session.write(header(0x77, 1_048_576), Buffer.alloc(1_048_576, 'x')),
  )
  await large.framesOf(1)
  expect(large.frames[0]?.length).toBe('119:'.length + 1_048_576)
  large.connection.destroy()
  const tooLarge = await ending((session) => session.write(header(0x77, 1_048_577)))
  expect(await tooLarge.ended).toEqual({
    kind: 'violated',
    message: 'the server sent a frame of type 119 with 1048577 bytes, over 1048576',
  })
  const longKey = await ending((session) => session.write(header(FrameType.serverKey, 1_025)))
  expect(await longKey.ended).toMatchObject({
    kind: 'violated',
    message: expect.stringMatching(/type 1 with 1025 bytes, over 1024/),
  })
})

test('what a handler closes on ends there, however much has come with it', async () => {
  const { promise: isReady, resolve: ready } = Promise.withResolvers<void>()
  const opened = await ending((session) =>
    isReady.then(() => session.write(text(0x14, 'a'), text(0x14, 'b'), text(0x14, 'c'))),
  )
  opened.onFrame = () => opened.frames.length === 2 && opened.connection.destroy()
  ready()
  await opened.ended
  expect(opened.frames).toEqual(['20:a', '20:b'])
})

test('a paused connection makes the server wait, and gives everything when resumed', async () => {
  const payload = Buffer.alloc(1_000_000, 'x')
  // More than the kernel holds for both sides of a loopback connection.
  const count = 64
  const { promise: isReady, resolve: ready } = Promise.withResolvers<void>()
  const { promise: isStuck, resolve: stuck } = Promise.withResolvers<InTestSession>()
  const opened = await ending(async (session) => {
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
  await opened.framesOf(count)
  expect(before).toBeLessThan(count)
  await opened.connection.close()
})

test('connections may share buffers and contexts', async () => {
  const shared = new SharedResources()
  await using server = await InTestServer.start({
    certificate,
    onRequest: (session) =>
      session.write(serverKeyFrame(server.key.publicKey), text(0x77, 'x'.repeat(100_000))),
  })
  const tls = { isInsecure: true }
  const target = { host, port: server.port, tls, shared }
  const all = await Promise.all(Array.from({ length: 20 }, () => Recorder.open(target)))
  await Promise.all(all.map((opened) => opened.framesOf(2)))
  expect(all.map((opened) => opened.frames[1]?.length)).toEqual(Array(20).fill('119:'.length + 100_000))
  await Promise.all(all.map((opened) => opened.connection.close()))
  expect(shared.pool.lentBytes).toBe(0)
})

test('WebSocket, with an independent server: long messages, text, its close, ours', async () => {
  const closes: [number, string][] = []
  const sockets: uWS.WebSocket<unknown>[] = []
  const app = uWS.App().ws('/derp', {
    maxBackpressure: 1_048_576,
    maxPayloadLength: 32_768,
    upgrade: (res, req, context) => res.upgrade({}, req.getHeader('sec-websocket-key'), 'derp', '', context),
    open: (socket) => void sockets.push(socket),
    message: (socket, message) => void socket.send(message, true),
    close: (_socket, code, message) => void closes.push([code, Buffer.from(message).toString()]),
  })
  const port = await new Promise<number>((resolve) => {
    app.listen(host, 0, (listening) => resolve(listening === false ? 0 : uWS.us_socket_local_port(listening)))
  })
  const open = (options: Partial<TargetOptions> = {}): Promise<Recorder> =>
    Recorder.open({ url: `ws://${host}:${port}/derp`, ...options })
  const long = text(0x77, 'x'.repeat(100_000))

  const echoed = await open()
  echoed.connection.write(long)
  await echoed.framesOf(1)
  expect(echoed.frames[0]).toBe(`119:${'x'.repeat(100_000)}`)
  await echoed.connection.close()
  expect(await echoed.ended).toMatchObject({ kind: 'closed' })

  const oneMessage = await open()
  sockets.at(-1)?.send(long, true)
  await oneMessage.framesOf(1)
  sockets.at(-1)?.end(1008, 'go')
  expect(await oneMessage.ended).toEqual({
    kind: 'ended',
    message: 'the server closed the WebSocket with 1008: "go"',
  })

  const asBrowser = await open({ webSocketMessageBytesMax: 32_768 })
  sockets.at(-1)?.send(long, true)
  expect(await asBrowser.ended).toMatchObject({
    kind: 'violated',
    message: expect.stringMatching(/more than 32768 bytes/),
  })

  const asText = await open()
  sockets.at(-1)?.send('hello')
  expect(await asText.ended).toEqual({ kind: 'violated', message: 'the server sent a text message' })

  const plain = Recorder.open({ url: `ws://${host}:${port}/derp`, way: 'websocket' })
  await (await plain).connection.close()
  app.close()
  expect(closes.map(([code]) => code)).toEqual([1000, 1008, 1009, 1003, 1000])
})

test('a 101 that is not for this WebSocket is refused', async () => {
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  await using server = await InTestServer.start({
    onRequest: (session) => session.write(Buffer.from(`${head}Sec-WebSocket-Accept: AAAA\r\n\r\n`)),
  })
  const opening = Recorder.open({ url: `ws://${host}:${server.port}` })
  await expect(opening).rejects.toMatchObject({
    stage: 'upgrade',
    message: expect.stringMatching(/Sec-WebSocket-Accept does not belong/),
  })
})

// Opening a DERP stream: the bytes written, in order and by write, and servers that do not answer as expected.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { beforeAll, expect, test } from 'vitest'
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

test('fast start sends the request and the greeting in one write', async () => {
  const requests: FakeServerSession[] = []
  await using server = await FakeServer.start({
    certificate,
    onRequest: (session) => requests.push(session),
  })
  const { port } = server
  const tls = { isInsecure: true }
  const opened = await FrameRecorder.open({
    host: 'localhost',
    dialAddress: host,
    port,
    tls,
    idealNode: '900a',
  })
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

test('with a known server key fast start works on plaintext, too', async () => {
  await using server = await FakeServer.start({ onRequest: () => undefined })
  const opened = await FrameRecorder.open({
    host,
    port: server.port,
    tls: false,
    serverKey: server.key.publicKey,
  })
  await using _connection = opened.connection
  const session = await server.nextSession()
  expect(session.head).toContain('\r\nDerp-Fast-Start: 1\r\n')
  expect(session.firstChunk.toString('latin1').endsWith(greeting.toString())).toBe(true)
})

test('fast start without a meta certificate fails and sends nothing', async () => {
  const requests: FakeServerSession[] = []
  await using server = await FakeServer.start({
    certificate,
    hasMetaCertificate: false,
    onRequest: (session) => requests.push(session),
  })
  const target = { host, port: server.port, tls: { isInsecure: true }, way: 'fast-start' } as const
  await expect(FrameRecorder.open(target)).rejects.toMatchObject({
    stage: 'upgrade',
    message: expect.stringMatching(/no meta certificate/),
  })
  expect(requests).toEqual([])
})

test('an answer and frames that arrive byte by byte', async () => {
  await using server = await FakeServer.start({
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
  const opened = await FrameRecorder.open({ host, port: server.port, tls: false })
  await using connection = opened.connection
  await opened.received(2)
  expect(opened.frames).toEqual(['20:one', '119:two'])
  expect(connection.answerHead).toBe(Buffer.from(switchingProtocols(server.key.publicKey)).toString('latin1'))
  expect(connection.way).toBe('upgrade')
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
])('an answer %s', async (_name, answer, error) => {
  await using server = await FakeServer.start({
    onRequest: (session) => session.write(Buffer.from(answer)),
  })
  const opening = FrameRecorder.open({ host, port: server.port, tls: false })
  await expect(opening).rejects.toMatchObject({ stage: 'upgrade', ...error })
})

test('a server that does not answer, or closes instead', async () => {
  await using silent = await FakeServer.start({ onRequest: () => undefined })
  const target = { host, tls: false, connectTimeoutMs: 50 } as const
  const waiting = FrameRecorder.open({ ...target, port: silent.port })
  await expect(waiting).rejects.toMatchObject({ stage: 'upgrade', message: 'not connected within 50 ms' })
  await using closing = await FakeServer.start({ onRequest: (session) => session.socket.end() })
  const closed = FrameRecorder.open({ ...target, port: closing.port })
  await expect(closed).rejects.toMatchObject({
    stage: 'upgrade',
    message: expect.stringMatching(/the server closed the connection$/),
  })
  const { port } = closing
  await closing[Symbol.asyncDispose]()
  await expect(FrameRecorder.open({ ...target, port })).rejects.toMatchObject({
    stage: 'dial',
    message: expect.stringMatching(/ECONNREFUSED/),
  })
})

test('a server that never speaks TLS fails at stage tls', async () => {
  const sockets: Socket[] = []
  const listener = createServer((socket) => sockets.push(socket)).listen(0, host)
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const opening = FrameRecorder.open({ host, port, connectTimeoutMs: 50 })
  await expect(opening).rejects.toMatchObject({ stage: 'tls', message: 'not connected within 50 ms' })
  for (const socket of sockets) socket.destroy()
  listener.close()
})

test('close rejects a pending open', async () => {
  await using server = await FakeServer.start({ onRequest: () => undefined })
  const { connection } = new FrameRecorder({ host, port: server.port, tls: false })
  const opening = connection.open()
  await server.nextSession()
  await connection.close()
  await expect(opening).rejects.toMatchObject({ message: 'closed while connecting' })
})

test('a 101 with the wrong Sec-WebSocket-Accept is refused', async () => {
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  await using server = await FakeServer.start({
    onRequest: (session) => session.write(Buffer.from(`${head}Sec-WebSocket-Accept: AAAA\r\n\r\n`)),
  })
  const opening = FrameRecorder.open({ url: `ws://${host}:${server.port}` })
  await expect(opening).rejects.toMatchObject({
    stage: 'upgrade',
    message: expect.stringMatching(/Sec-WebSocket-Accept does not belong/),
  })
})

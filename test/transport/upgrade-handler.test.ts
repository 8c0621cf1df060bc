// Upgrades to raw DERP, with and without fast start, and to a WebSocket: what the client receives first, and that bytes behind
// the request are not lost. What a WebSocket does afterwards is web-socket.test.ts.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { webSocketRequest } from '#client/http-answer.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { notePreferredFrame, sendPacketFrame } from '#protocol/frames.ts'
import { switchingProtocols, upgradeRequest } from '#protocol/upgrade.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { loginFrame } from '../support/login-frame.ts'
import { Opcode, webSocketFrame } from '../support/raw-frames.ts'
import { RawSocket } from '../support/raw-socket.ts'

const SERVER_KEY_BYTES = 45
const SERVER_INFO_BYTES = 58
const packet = Buffer.from('hello, derp')
const fastStart = upgradeRequest('localhost', { isFastStart: true })

let tls: LiveRelay
let plain: LiveRelay
beforeAll(async () => {
  tls = await LiveRelay.start()
  plain = await LiveRelay.start({ certificate: undefined })
})
afterAll(async () => {
  for (const relay of [tls, plain]) await relay[Symbol.asyncDispose]()
})

function webSocketHead(): string {
  return Buffer.from(webSocketRequest('localhost', '/derp', randomBytes(16).toString('base64'))).toString()
}

describe('raw DERP', () => {
  it('sends no HTTP with fast start: its first byte is that of ServerKey', async () => {
    const socket = await RawSocket.tls(tls.port)
    socket.send(fastStart)
    expect((await socket.atLeast(SERVER_KEY_BYTES))[0]).toBe(FrameType.serverKey)
    expect(socket.received).toHaveLength(SERVER_KEY_BYTES)
    socket.destroy()
  })

  it.each(['0', 'true'])('does not take Derp-Fast-Start: %s for fast start', async (value) => {
    const socket = await RawSocket.tls(tls.port)
    const request = Buffer.from(fastStart).toString()
    socket.send(request.replace('Derp-Fast-Start: 1', `Derp-Fast-Start: ${value}`))
    await expectSwitchingProtocols(socket)
  })

  it('answers Upgrade: websocket without a subprotocol with raw DERP', async () => {
    const socket = await RawSocket.tls(tls.port)
    socket.send('GET /derp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    await expectSwitchingProtocols(socket)
  })

  it.each(['one write', 'single bytes'])('accepts request, login, note and packet in %s', async (how) => {
    const bob = await tls.client()
    const socket = await RawSocket.tls(tls.port)
    const stream = concatBytes(
      fastStart,
      loginFrame(tls.settings.nodeKey.publicKey),
      notePreferredFrame(true),
      sendPacketFrame(bob.publicKey, packet),
    )
    const arrival = bob.next('packet')
    if (how === 'one write') socket.send(stream)
    // Each byte in a TLS record of its own, and with TCP_NODELAY mostly in a segment of its own.
    else for (const byte of stream) socket.send(Uint8Array.of(byte))
    expect(Buffer.from((await arrival).packet)).toEqual(packet)
    socket.destroy()
  })
})

async function expectSwitchingProtocols(socket: RawSocket): Promise<void> {
  const answer = Buffer.from(switchingProtocols(tls.settings.nodeKey.publicKey))
  const received = await socket.atLeast(answer.length + SERVER_KEY_BYTES)
  expect(received.subarray(0, answer.length)).toEqual(answer)
  socket.destroy()
}

describe('a WebSocket', () => {
  it('takes bytes behind its handshake for the beginning of the stream', async () => {
    const socket = await RawSocket.plain(plain.port)
    const login = loginFrame(plain.settings.nodeKey.publicKey)
    socket.send(Buffer.concat([Buffer.from(webSocketHead()), webSocketFrame(Opcode.binary, login)]))
    // ServerKey and ServerInfo, in one message with a header of two bytes.
    const headBytes = (await socket.atLeast(1)).indexOf('\r\n\r\n') + 4
    const expectedBytes = headBytes + 2 + SERVER_KEY_BYTES + SERVER_INFO_BYTES
    expect(await socket.atLeast(expectedBytes)).toHaveLength(expectedBytes)
    socket.destroy()
  })

  it('is not opened by HTTP/1.0', async () => {
    const socket = await RawSocket.plain(plain.port)
    socket.send(webSocketHead().replace('HTTP/1.1', 'HTTP/1.0'))
    expect((await socket.ended()).toString('latin1')).not.toContain(' 101 ')
  })
})

const PROBE = 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\n\r\n'
const DERP = 'GET /derp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n'

describe('an upgrade is accepted as the first request of a connection and as a later one', () => {
  const before = [
    ['a latency check', PROBE],
    ['several requests', `${PROBE}HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /derp HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a POST without a body', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n'],
  ] as const
  const cases = before.flatMap(([what, requests]) =>
    (['plain', 'TLS'] as const).flatMap((port) =>
      ['one by one', 'in one write'].map((how) => ({ what, requests, port, how })),
    ),
  )

  it.each(cases)('after $what, over $port, $how', async ({ requests, port, how }) => {
    const relay = port === 'TLS' ? tls : plain
    const socket = port === 'TLS' ? await RawSocket.tls(tls.port) : await RawSocket.plain(plain.port)
    const login = loginFrame(relay.settings.nodeKey.publicKey)
    if (how === 'in one write') {
      socket.send(Buffer.concat([Buffer.from(`${requests}${DERP}`), login]))
    } else {
      for (const request of requests.split(/(?<=\r\n\r\n)/)) {
        const receivedBytes = socket.received.length
        socket.send(request)
        await socket.atLeast(receivedBytes + 20)
      }
      socket.send(DERP)
      await expect.poll(() => socket.received.includes(' 101 ')).toBe(true)
      socket.send(login)
    }
    // ServerInfo proves that the login was read.
    await expect
      .poll(() => {
        const at = socket.received.indexOf('DERP\u{1f511}')
        return at > 0 && socket.received.length === at - 5 + SERVER_KEY_BYTES + SERVER_INFO_BYTES
      })
      .toBe(true)
    socket.destroy()
  })

  it('also to a WebSocket', async () => {
    const socket = await RawSocket.plain(plain.port)
    socket.send(PROBE + webSocketHead())
    await expect.poll(() => socket.received.includes('DERP\u{1f511}')).toBe(true)
    socket.destroy()
  })
})

// WebSockets on a live relay: messages, their limits, pings, and how a WebSocket is opened and closed (RFC 6455).

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concatBytes } from '#protocol/bytes.ts'
import { pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { loginFrame } from '../support/login-frame.ts'
import { Opcode, webSocketFrame } from '../support/raw-frames.ts'
import { RawSocket } from '../support/raw-socket.ts'

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ certificate: undefined, admin: { host: '127.0.0.1', port: 0 } })
})
afterAll(async () => await relay[Symbol.asyncDispose]())

async function open(...protocols: string[]): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${relay.port}/derp`, protocols)
  socket.binaryType = 'arraybuffer'
  await once(socket, 'open')
  return socket
}

async function closeCode(socket: WebSocket): Promise<number> {
  const [event] = (await once(socket, 'close')) as [{ code: number }]
  return event.code
}

async function metricOf(relay: LiveRelay, series: string): Promise<number> {
  const metrics = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/metrics`, {
    headers: { connection: 'close' },
  })
  const line = (await metrics.text()).split('\n').find((text) => text.startsWith(`${series} `))
  return Number(line?.slice(series.length))
}

async function sessionsOf(relay: LiveRelay): Promise<number> {
  return await metricOf(relay, 'derp_sessions_current')
}

async function closedFor(relay: LiveRelay, reason: string): Promise<number> {
  return await metricOf(relay, `derp_sessions_ended_total{reason="${reason}"}`)
}

/** Open descriptors of this process, in which the relay runs. */
function descriptorCount(): number {
  return readdirSync('/proc/self/fd').length
}

/** A frame of unknown type, which a relay ignores, of so many bytes. */
function unknownFrame(bytes: number): Buffer {
  const frame = Buffer.alloc(bytes)
  frame[0] = 0x7e
  frame.writeUInt32BE(bytes - 5, 1)
  return frame
}

/** A message in so many fragments. */
function fragments(payload: Buffer, count: number): Buffer {
  const each = Math.ceil(payload.length / count)
  const frames: Buffer[] = []
  for (let at = 0; at < payload.length; at += each) {
    const opcode = at === 0 ? Opcode.binary : Opcode.continuation
    const firstByte = at + each >= payload.length ? 0x80 | opcode : opcode
    frames.push(webSocketFrame(opcode, payload.subarray(at, at + each), { firstByte }))
  }
  return Buffer.concat(frames)
}

function login(): Uint8Array {
  return loginFrame(relay.settings.nodeKey.publicKey)
}

it.each([1, 7, 45, 1_000])(
  'accepts a stream in messages of %i bytes, whose borders mean nothing',
  async (size) => {
    const bob = await relay.client()
    const socket = await open('derp')
    const packet = Buffer.alloc(3_000, 7)
    const stream = Buffer.from(concatBytes(login(), sendPacketFrame(bob.publicKey, packet)))
    const arrival = bob.next('packet')
    for (let at = 0; at < stream.length; at += size) socket.send(stream.subarray(at, at + size))
    expect(Buffer.from((await arrival).packet)).toEqual(packet)
    socket.close()
  },
)

it('closes with 1003 on a text message', async () => {
  const socket = await open('derp')
  socket.send('hello')
  expect(await closeCode(socket)).toBe(1003)
})

it('closes a connection that sends a message of more than 32,768 bytes, and no other', async () => {
  const bystander = await relay.client({ way: 'websocket' })
  const socket = await open('derp')
  socket.send(new Uint8Array(32_769))
  // The relay does not read the message to its end, so the close code may be lost.
  expect([1006, 1009]).toContain(await closeCode(socket))
  await bystander.ping()
})

describe('a message may have 32,768 bytes and no more, however it arrives', () => {
  const limits = [32_767, 32_768, 32_769]
  const cuts = [
    ['in one frame', 1],
    ['in two fragments', 2],
    ['in a thousand fragments', 1_000],
  ] as const
  const pieces = [100_000, 1_000, 7]
  const cases = limits.flatMap((bytes) =>
    cuts.flatMap(([how, frames]) => pieces.map((piece) => ({ bytes, how, frames, piece }))),
  )
  it.each(cases)('$bytes bytes $how, $piece at a time', async ({ bytes, frames, piece }) => {
    const raw = await RawSocket.plain(relay.port)
    raw.send(handshake('Sec-WebSocket-Protocol: derp'))
    await expect.poll(() => raw.received.includes('DERP\u{1f511}')).toBe(true)
    const receivedBytes = raw.received.length
    raw.send(webSocketFrame(Opcode.binary, login()))
    await expect.poll(() => raw.received.length).toBe(receivedBytes + 2 + 58)
    // A frame that is ignored, and a ping that is answered when everything was read.
    const stream = Buffer.concat([unknownFrame(bytes), Buffer.from(pingFrame(Buffer.alloc(8, 5)))])
    const message = fragments(stream.subarray(0, bytes), frames)
    const sent = Buffer.concat([message, webSocketFrame(Opcode.binary, stream.subarray(bytes))])
    for (let at = 0; at < sent.length && !raw.isEnded; at += piece) {
      raw.send(sent.subarray(at, at + piece))
      if (at % (97 * piece) === 0) await new Promise((resolve) => void setImmediate(resolve))
    }
    if (bytes <= 32_768) {
      await expect
        .poll(() => raw.received.includes(Buffer.from('13000000080505050505050505', 'hex')))
        .toBe(true)
    } else {
      expect((await raw.ended()).includes(Buffer.from('880203f1', 'hex'))).toBe(true)
    }
    raw.destroy()
  })
})

describe('a hundred pings at once are answered or ignored, one more closes the connection', () => {
  it.each([
    [99, false],
    [100, false],
    [101, true],
  ])('%i pings', async (count, isClosed) => {
    const raw = await RawSocket.plain(relay.port)
    raw.send(handshake('Sec-WebSocket-Protocol: derp'))
    await expect.poll(() => raw.received.includes('DERP\u{1f511}')).toBe(true)
    raw.send(
      Buffer.concat(Array.from({ length: count }, () => webSocketFrame(Opcode.ping, Buffer.from('hi')))),
    )
    const answer = isClosed ? '880203f0' : '8a026869'
    await expect.poll(() => raw.received.includes(Buffer.from(answer, 'hex'))).toBe(true)
    if (isClosed) await raw.ended()
    raw.destroy()
    await expect.poll(async () => await closedFor(relay, 'ping_flood')).toBe(isClosed ? 1 : 0)
  })
})

it('a WebSocket that is reset leaves no session and no descriptor', async () => {
  await using own = await LiveRelay.start({ certificate: undefined, admin: { host: '127.0.0.1', port: 0 } })
  const sessions = async (): Promise<number> => await sessionsOf(own)
  await expect.poll(sessions).toBe(0)
  const before = descriptorCount()
  const raws = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const raw = await RawSocket.plain(own.port)
      raw.send(handshake('Sec-WebSocket-Protocol: derp'))
      await expect.poll(() => raw.received.includes('DERP\u{1f511}')).toBe(true)
      return raw
    }),
  )
  expect(await sessions()).toBe(10)
  for (const raw of raws) raw.socket.resetAndDestroy()
  await expect.poll(sessions).toBe(0)
  await expect.poll(descriptorCount).toBeLessThanOrEqual(before)
  expect(await closedFor(own, 'remote_reset')).toBe(10)
})

it.each(['Derp, derp2', 'derp2'])('closes with 1008 when the subprotocol is %s', async (protocol) => {
  // `Derp` is misspelt; `derp2` is another token.
  const raw = await RawSocket.plain(relay.port)
  raw.send(handshake(`Sec-WebSocket-Protocol: ${protocol}`))
  const received = await raw.ended()
  const [head = ''] = received.toString('latin1').split('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 101 /)
  const close = received.subarray(Buffer.byteLength(head, 'latin1') + 4)
  expect([close[0], close.readUInt16BE(2)]).toEqual([0x88, 1008])
})

it('negotiates no extension, echoes the subprotocol and accepts every origin', async () => {
  const raw = await RawSocket.plain(relay.port)
  raw.send(
    handshake(
      'Sec-WebSocket-Protocol: derp',
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
      'Origin: https://anywhere.example',
    ),
  )
  // The head of the answer, and ServerKey in a message of 45 bytes.
  await expect.poll(() => raw.received.includes('DERP\u{1f511}')).toBe(true)
  const head = raw.received.toString('latin1').split('\r\n\r\n')[0] ?? ''
  expect(head).toMatch(/^HTTP\/1\.1 101 /)
  expect(head).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  expect(head).toContain('Sec-WebSocket-Protocol: derp')
  expect(head).not.toMatch(/extensions/i)
  raw.destroy()
})

it('refuses another version of the protocol and names its own', async () => {
  const raw = await RawSocket.plain(relay.port)
  raw.send(handshake('Sec-WebSocket-Protocol: derp').replace('Version: 13', 'Version: 8'))
  await expect
    .poll(() => raw.received.toString('latin1'))
    .toMatch(/^HTTP\/1\.1 400 [^]*Sec-WebSocket-Version: 13/i)
  raw.destroy()
})

function handshake(...fields: string[]): string {
  return [
    'GET /derp HTTP/1.1',
    'Host: localhost',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...fields,
    '',
    '',
  ].join('\r\n')
}

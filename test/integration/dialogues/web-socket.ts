// WebSocket as a carrier of the stream: handshakes as they should and should not be, messages that are not binary or
// too large, control frames, and the end.

import { sendPacketFrame } from '#protocol/frames.ts'
import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import type { Scene, Scenes } from '../../support/dialogue.ts'
import { clientInfo, frameOf, Opcode, webSocketFrame, type Player } from '../../support/scripted-client.ts'
import { webSocketHandshake } from '../../vectors/login.ts'

const fields = {
  Host: 'localhost',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': webSocketHandshake.key,
  'Sec-WebSocket-Protocol': 'derp',
} as const
type Field = keyof typeof fields

interface Changes {
  readonly without?: Field
  readonly with?: Partial<Record<Field, string>>
  readonly also?: readonly string[]
  readonly firstLine?: string
}

function handshake(changes: Changes = {}): string {
  const named = Object.entries({ ...fields, ...changes.with }).filter(([name]) => name !== changes.without)
  const lines = named.map(([name, value]) => `${name}: ${value}`)
  return [changes.firstLine ?? 'GET /derp HTTP/1.1', ...lines, ...(changes.also ?? []), '', ''].join('\r\n')
}

/** Handshakes, each on a connection of its own; `answers` is how many things come back for each. */
function shaking(answers: number, ...all: readonly Changes[]): Scene {
  return async (stage) => {
    for (const [at, changes] of all.entries()) {
      const player = await stage.dial(`client ${at}`)
      player.request(handshake(changes))
      await stage.settle(answers)
    }
  }
}

/** A client that has logged in over a WebSocket and then sends something below the stream. */
function saying(text: string, answers: number, ...frames: readonly Uint8Array[]): Scene {
  return async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    alice.sendRaw(Buffer.concat(frames), text)
    await stage.settle(answers)
  }
}

/** The same with something for which the connection is ended. */
function ending(text: string, frame: Uint8Array): Scene {
  return async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    alice.sendRaw(frame, text)
    await stage.settleEnd(alice)
  }
}

/** Alice's packet to herself, as bytes of the stream. */
const toSelf = (alice: Player, bytes: number): Buffer =>
  Buffer.from(sendPacketFrame(alice.actor.key, Buffer.alloc(bytes, 7)))

/** A packet cut into messages at given places. */
function cut(bytes: Buffer, ...places: readonly number[]): Buffer[] {
  return [0, ...places].map((at, i) => webSocketFrame(Opcode.binary, bytes.subarray(at, places[i])))
}

export const webSocketScenes: Scenes = {
  'WebSocket: the subprotocol among others': shaking(
    2,
    { with: { 'Sec-WebSocket-Protocol': 'derp, other' } },
    { with: { 'Sec-WebSocket-Protocol': 'other, derp' } },
    { with: { 'Sec-WebSocket-Protocol': 'derp,derp' } },
  ),
  'WebSocket: the subprotocol in another case': shaking(2, { with: { 'Sec-WebSocket-Protocol': 'DERP' } }),
  'WebSocket: the subprotocol in another case among others': shaking(2, {
    with: { 'Sec-WebSocket-Protocol': 'Derp, derp' },
  }),
  'WebSocket: a subprotocol that contains the name': shaking(2, {
    with: { 'Sec-WebSocket-Protocol': 'xderp' },
  }),
  'WebSocket: the subprotocol in a second field': shaking(2, {
    with: { 'Sec-WebSocket-Protocol': 'other' },
    also: ['Sec-WebSocket-Protocol: derp'],
  }),
  'WebSocket: the upgrade in another case': shaking(2, {
    with: { Upgrade: 'WebSocket', Connection: 'upgrade' },
  }),
  'WebSocket: Connection with more than Upgrade': shaking(2, { with: { Connection: 'keep-alive, Upgrade' } }),
  'WebSocket: without Connection': shaking(1, { without: 'Connection' }, { with: { Connection: 'close' } }),
  'WebSocket: another version': shaking(
    1,
    { with: { 'Sec-WebSocket-Version': '12' } },
    { without: 'Sec-WebSocket-Version' },
  ),
  'WebSocket: without a key': shaking(1, { without: 'Sec-WebSocket-Key' }),
  'WebSocket: a key that is none': shaking(
    1,
    { with: { 'Sec-WebSocket-Key': 'AAAA' } },
    { with: { 'Sec-WebSocket-Key': '!'.repeat(24) } },
  ),
  'WebSocket: two keys': shaking(1, { also: [`Sec-WebSocket-Key: ${webSocketHandshake.key}`] }),
  'WebSocket: by another method': shaking(1, { firstLine: 'POST /derp HTTP/1.1' }),
  'WebSocket: in HTTP/1.0': shaking(1, { firstLine: 'GET /derp HTTP/1.0' }),
  'WebSocket: any origin': shaking(
    2,
    { also: ['Origin: https://example.com'] },
    { also: ['Origin: null'] },
    { also: ['Origin: http://localhost'] },
  ),
  'WebSocket: extensions are not agreed on': shaking(2, {
    also: ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'],
  }),
  'WebSocket: fast start does not exist': shaking(2, { also: ['Derp-Fast-Start: 1'] }),
  'WebSocket: as the second request of a connection': async (stage) => {
    const alice = await stage.request('alice', 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\n\r\n')
    alice.request(handshake())
    await stage.settle(2)
    alice.logIn()
    await stage.settle(1)
  },
  'WebSocket: on another path': shaking(1, { firstLine: 'GET /other HTTP/1.1' }),
  'WebSocket: a query': shaking(2, { firstLine: 'GET /derp?region=900 HTTP/1.1' }),
  'WebSocket: login in the write of the request': async (stage) => {
    const alice = await stage.dial('alice')
    const login = webSocketFrame(Opcode.binary, clientInfo(alice.actor))
    alice.sendRaw(Buffer.concat([Buffer.from(handshake()), login]), 'handshake and ClientInfo in one write')
    await stage.settle(3)
  },

  'WebSocket: messages cut anywhere': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    const bytes = Buffer.concat([toSelf(alice, 300), toSelf(alice, 1), toSelf(alice, 0)])
    alice.sendRaw(
      Buffer.concat(cut(bytes, 1, 4, 5, 36, 200, 340, 341)),
      'three packets, cut within and between',
    )
    await stage.settle(3)
  },
  'WebSocket: a message of fragments': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    const bytes = toSelf(alice, 300)
    const frames = [
      webSocketFrame(Opcode.binary, bytes.subarray(0, 100), { firstByte: Opcode.binary }),
      webSocketFrame(Opcode.ping, Buffer.from('between')),
      webSocketFrame(Opcode.continuation, bytes.subarray(100, 200), { firstByte: Opcode.continuation }),
      webSocketFrame(Opcode.continuation, bytes.subarray(200)),
    ]
    alice.sendRaw(Buffer.concat(frames), 'a packet in three fragments, a ping between')
    await stage.settle(2)
  },
  'WebSocket: an empty message': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    const frames = [
      webSocketFrame(Opcode.binary, Buffer.alloc(0)),
      webSocketFrame(Opcode.binary, toSelf(alice, 5)),
    ]
    alice.sendRaw(Buffer.concat(frames), 'an empty message, and a packet')
    await stage.settle(1)
  },
  'WebSocket: the largest message': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    const bytes = toSelf(alice, WEB_SOCKET_MESSAGE_BYTES_MAX - 37)
    alice.sendRaw(webSocketFrame(Opcode.binary, bytes), `a message of ${bytes.length} B`)
    await stage.settle(1)
  },
  'WebSocket: a message that is too large': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    const bytes = toSelf(alice, WEB_SOCKET_MESSAGE_BYTES_MAX - 36)
    alice.sendRaw(webSocketFrame(Opcode.binary, bytes), `a message of ${bytes.length} B`)
    await stage.settleEnd(alice)
  },
  'WebSocket: fragments that are too large together': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    const bytes = toSelf(alice, 40_000)
    const frames = [
      webSocketFrame(Opcode.binary, bytes.subarray(0, 20_000), { firstByte: Opcode.binary }),
      webSocketFrame(Opcode.continuation, bytes.subarray(20_000)),
    ]
    alice.sendRaw(Buffer.concat(frames), 'a message of two fragments of 20 kB')
    await stage.settleEnd(alice)
  },
  'WebSocket: a text message': saying('text', 1, webSocketFrame(Opcode.text, Buffer.from('hello'))),
  'WebSocket: a text message before the login': async (stage) => {
    const alice = await stage.open('alice', { way: 'WebSocket over TLS' })
    alice.sendRaw(webSocketFrame(Opcode.text, Buffer.from('hello')), 'text')
    await stage.settle(1)
  },
  'WebSocket: ping and pong': saying(
    'a pong nobody asked for, and two pings',
    2,
    webSocketFrame(Opcode.pong, Buffer.from('unasked')),
    webSocketFrame(Opcode.ping, Buffer.alloc(0)),
    webSocketFrame(Opcode.ping, Buffer.from('are you there?')),
  ),
  'WebSocket: the client closes': saying(
    'close 1000',
    1,
    webSocketFrame(Opcode.close, Buffer.from([0x03, 0xe8])),
  ),
  'WebSocket: the client goes away': saying(
    'close 1001',
    1,
    webSocketFrame(Opcode.close, Buffer.from([0x03, 0xe9])),
  ),
  'WebSocket: the client closes without a code': saying(
    'close',
    1,
    webSocketFrame(Opcode.close, Buffer.alloc(0)),
  ),
  'WebSocket: a frame without a mask': saying(
    'an unmasked message',
    1,
    webSocketFrame(Opcode.binary, frameOf(0x7e), { isUnmasked: true }),
  ),
  'WebSocket: reserved bits': ending(
    'a message with a reserved bit',
    webSocketFrame(Opcode.binary, frameOf(0x7e), { firstByte: 0xc0 | Opcode.binary }),
  ),
  'WebSocket: a frame of an unknown type': ending(
    'a frame of type 3',
    webSocketFrame(Opcode.binary, frameOf(0x7e), { firstByte: 0x83 }),
  ),
  'WebSocket: a continuation of nothing': ending(
    'a continuation',
    webSocketFrame(Opcode.continuation, frameOf(0x7e)),
  ),
  'WebSocket: a ping in fragments': ending(
    'a ping that is not final',
    webSocketFrame(Opcode.ping, Buffer.from('x'), { firstByte: Opcode.ping }),
  ),
  'WebSocket: a ping that is too long': ending(
    'a ping of 126 B',
    webSocketFrame(Opcode.ping, Buffer.alloc(126)),
  ),

  'WebSocket: the relay closes for what it closes for': async (stage) => {
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    alice.send(frameOf(0x07))
    await stage.settle(1)
  },
  'WebSocket: the connection ends without a close': async (stage) => {
    const bob = await stage.join('bob')
    const alice = await stage.join('alice', { way: 'WebSocket over TLS' })
    alice.send(sendPacketFrame(bob.actor.key, Buffer.from('hello')))
    await stage.settle(1)
    await stage.hangUp(alice)
    await stage.settle(1)
  },
}

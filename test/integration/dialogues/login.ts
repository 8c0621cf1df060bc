// Logins: over every kind of connection, and with invalid ClientInfo.

import { randomBytes } from 'node:crypto'
import { FrameType } from '#protocol/frame-type.ts'
import { notePreferredFrame, pingFrame, sendPacketFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { CLIENT_INFO_BYTES_MAX, KEY_BYTES, NONCE_BYTES, BOX_TAG_BYTES } from '#protocol/limits.ts'
import { meshKey } from '../../vectors/keys.ts'
import { clientInfo as vectorInfo, meshPeerInfo, proberInfo, refusedLogins } from '../../vectors/login.ts'
import {
  requests,
  type Script,
  type Scripts,
  type Dialogue,
  connectionKinds,
  type ConnectionKind,
} from '../../support/dialogue.ts'
import { clientInfo, frameOf, headerOf } from '../../support/raw-frames.ts'

const hex = Buffer.from(meshKey).toString('hex')
const ping = pingFrame(Buffer.from('12345678'))

/** Logs in over a kind of connection, sends a packet to itself and pings. */
function loginOver(kind: ConnectionKind): Script {
  return async (dialogue) => {
    const alice = await dialogue.logIn('alice', { kind })
    alice.send(sendPacketFrame(alice.actor.key, Buffer.from('to myself')))
    await dialogue.settle(1)
    alice.send(ping)
    await dialogue.settle(1)
  }
}

/** One login per text of ClientInfo; a relay responds with ServerInfo or closes the connection. */
function loginsWith(...texts: readonly (string | Uint8Array)[]): Script {
  return async (dialogue) => {
    for (const [at, text] of texts.entries()) {
      const client = await dialogue.openStream(`client ${at}`)
      client.logIn(text)
      await dialogue.settle(1)
    }
  }
}

/** One login per text, followed by a frame that only mesh peers may send: shows which login makes a mesh peer. */
function meshLoginsWith(...texts: readonly string[]): Script {
  return async (dialogue) => {
    for (const [at, text] of texts.entries()) {
      const client = await dialogue.openStream(`client ${at}`)
      client.logIn(text)
      await dialogue.settle(1)
      client.send(WATCH_CONNS_FRAME)
      await dialogue.settle(1)
      client.destroy()
    }
  }
}

/** One connection per list of bytes, which are sent instead of a login. */
function firstFrames(...openings: readonly Uint8Array[]): Script {
  return async (dialogue) => {
    for (const [at, bytes] of openings.entries()) {
      const client = await dialogue.openStream(`client ${at}`)
      client.send(bytes)
      await dialogue.settle(1)
    }
  }
}

/** ClientInfo with a payload of a given length: the JSON is padded with spaces. */
function paddedInfo(dialogue: Dialogue, payloadBytes: number): Uint8Array {
  const plain = '{"version":2}'
  return clientInfo(
    dialogue.actor('alice'),
    plain.padEnd(payloadBytes - KEY_BYTES - NONCE_BYTES - BOX_TAG_BYTES, ' '),
  )
}

export const loginScripts: Scripts = {
  ...Object.fromEntries(
    (Object.keys(connectionKinds) as ConnectionKind[]).map(
      (way) => [`login by ${way}`, loginOver(way)] as const,
    ),
  ),

  'login, NotePreferred and packets in the same write as the request': async (dialogue) => {
    const { key } = dialogue.actor('alice')
    const toSelf = [1, 2, 3].map((byte) => sendPacketFrame(key, Uint8Array.of(byte)))
    await dialogue.logIn('alice', { following: [notePreferredFrame(true), ...toSelf], moreItems: 3 })
  },

  'request and login byte by byte': async (dialogue) => {
    const alice = await dialogue.dial('alice')
    alice.expectFrames()
    const bytes = Buffer.concat([Buffer.from(requests['fast-start']), clientInfo(alice.actor), ping])
    await alice.sendByteByByte(bytes, 'request, ClientInfo and ping, byte by byte')
    await dialogue.settle(3)
  },

  'request and login byte by byte, with a 101': async (dialogue) => {
    const alice = await dialogue.dial('alice', { tls: false })
    await alice.sendByteByByte(Buffer.from(requests.upgrade), 'request, byte by byte')
    await dialogue.settle(2)
    await alice.sendByteByByte(
      Buffer.concat([clientInfo(alice.actor), ping]),
      'ClientInfo and ping, byte by byte',
    )
    await dialogue.settle(2)
  },

  "the vectors' logins": async (dialogue) => {
    for (const [name, { from, frame }] of Object.entries({ vectorInfo, proberInfo, meshPeerInfo })) {
      const client = await dialogue.openStream(name, { actor: dialogue.actorWithKey(name, from) })
      client.send(frame)
      await dialogue.settle(1)
    }
  },

  'another frame instead of ClientInfo': firstFrames(
    refusedLogins.otherType,
    headerOf(FrameType.serverKey, 40),
    headerOf(FrameType.ping, 8),
    headerOf(FrameType.notePreferred, 1),
    headerOf(FrameType.watchConns, 0),
    headerOf(0x7e, 100),
  ),

  'ClientInfo that is too short or too long': firstFrames(
    headerOf(FrameType.clientInfo, 55),
    refusedLogins.tooLong,
  ),

  'ClientInfo of the maximum length': async (dialogue) => {
    const alice = await dialogue.openStream('alice')
    alice.send(paddedInfo(dialogue, CLIENT_INFO_BYTES_MAX))
    await dialogue.settle(1)
    alice.send(ping)
    await dialogue.settle(1)
  },

  'ClientInfo without room for a box': firstFrames(
    frameOf(FrameType.clientInfo, randomBytes(56)),
    frameOf(FrameType.clientInfo, randomBytes(71)),
  ),

  'the box does not open': async (dialogue) => {
    const alice = await dialogue.openStream('alice')
    const frame = clientInfo(alice.actor)
    frame.writeUInt8(frame.readUInt8(frame.length - 1) ^ 1, frame.length - 1)
    alice.send(frame)
    await dialogue.settle(1)
    const bob = await dialogue.openStream('bob')
    bob.send(frameOf(FrameType.clientInfo, bob.actor.key, clientInfo(alice.actor).subarray(5 + KEY_BYTES)))
    await dialogue.settle(1)
  },

  'the zero key, and keys of low order': async (dialogue) => {
    for (const first of [0, 1]) {
      const client = await dialogue.openStream(`client of key ${first}`)
      const sealed = clientInfo(client.actor).subarray(5 + KEY_BYTES)
      client.send(frameOf(FrameType.clientInfo, Uint8Array.of(first), new Uint8Array(KEY_BYTES - 1), sealed))
      await dialogue.settle(1)
    }
  },

  'a client that disconnects in the middle of its login': async (dialogue) => {
    const alice = await dialogue.openStream('alice')
    alice.send(clientInfo(alice.actor).subarray(0, 60))
    await dialogue.disconnect(alice)
    const bob = await dialogue.logIn('bob')
    bob.send(ping)
    await dialogue.settle(1)
  },

  'a client that never logs in': async (dialogue) => {
    await dialogue.openStream('alice')
    await dialogue.settle(1, 'ordered', 'up to 15 s')
  },

  'JSON without known fields': loginsWith('{}', 'null', ' { } ', '{"other":{"deep":[1,2,{}]}}'),
  'invalid JSON': loginsWith('', ' ', '[]', '1', '"text"', 'true', '{', '{} {}', '{}x', '{"version":2,}'),
  'field names in any case': loginsWith(
    '{"VERSION":2,"canackpings":true}',
    '{"Version":2,"CANACKPINGS":false,"isprober":true}',
  ),
  'field names that occur twice': loginsWith('{"version":"x","version":2}', '{"version":2,"version":"x"}'),
  'any version': loginsWith(
    '{"version":0}',
    '{"version":1}',
    '{"version":3}',
    '{"version":-1}',
    '{"version":null}',
  ),
  'versions that are not integers': loginsWith(
    '{"version":"2"}',
    '{"version":2.5}',
    '{"version":true}',
    '{"version":[2]}',
  ),
  'whole numbers written with a fraction or an exponent': loginsWith('{"version":2.0}', '{"version":1e2}'),
  'numbers beyond 64 bits': loginsWith('{"version":9223372036854775807}', '{"version":9223372036854775808}'),
  'CanAckPings and IsProber': loginsWith(
    '{"CanAckPings":null,"IsProber":null}',
    '{"CanAckPings":1}',
    '{"CanAckPings":"true"}',
    '{"IsProber":0}',
  ),
  'bytes that are not UTF-8': loginsWith(
    Buffer.from('{"other":"\xff"}', 'latin1'),
    Buffer.from('{"version":2,"\xff":1}', 'latin1'),
  ),
  'a byte order mark': loginsWith('\ufeff{"version":2}'),
  'application names': loginsWith(
    '{"AppName":""}',
    '{"AppName":"probe 1.0 ~"}',
    `{"AppName":"${'a'.repeat(32)}"}`,
    '{"AppName":null}',
  ),
  'invalid application names': loginsWith(
    `{"AppName":"${'a'.repeat(33)}"}`,
    '{"AppName":"caf\\u00e9"}',
    '{"AppName":"a\\u001f"}',
    '{"AppName":"a\\u007f"}',
    '{"AppName":7}',
  ),
  'malformed mesh keys': loginsWith(
    '{"meshKey":""}',
    '{"meshKey":null}',
    '{"meshKey":7}',
    `{"meshKey":"${hex.slice(2)}"}`,
    `{"meshKey":"${hex}00"}`,
    `{"meshKey":"${'x'.repeat(64)}"}`,
    `{"meshKey":"nodekey:${hex}"}`,
    `{"meshKey":" ${hex}"}`,
  ),
  'the mesh key field in another case': loginsWith('{"MESHKEY":"x"}'),
  'wrong mesh keys': meshLoginsWith(`{"meshKey":"${'1'.repeat(64)}"}`, `{"meshKey":"${'0'.repeat(64)}"}`),
  'correct mesh keys': meshLoginsWith(
    `{"meshKey":"${hex}"}`,
    `{"meshKey":"${hex.toUpperCase()}"}`,
    `{"MeshKey":"${hex}"}`,
    `{"meshKey":"${'1'.repeat(64)}","meshKey":"${hex}"}`,
  ),
}

// How clients come in: every way to the stream, and what a relay makes of a login that is not as it should be.

import { randomBytes } from 'node:crypto'
import { FrameType } from '#protocol/frame-type.ts'
import { notePreferredFrame, pingFrame, sendPacketFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { CLIENT_INFO_BYTES_MAX, KEY_BYTES, NONCE_BYTES, BOX_TAG_BYTES } from '#protocol/limits.ts'
import { meshKey } from '../../vectors/keys.ts'
import { clientInfo as vectorInfo, meshPeerInfo, proberInfo, refusedLogins } from '../../vectors/login.ts'
import { requests, type Scene, type Scenes, type Stage, ways, type Way } from '../../support/dialogue.ts'
import { clientInfo, frameOf, headerOf } from '../../support/scripted-client.ts'

const hex = Buffer.from(meshKey).toString('hex')
const ping = pingFrame(Buffer.from('12345678'))

/** Logs in each way, sends to itself and pings. */
function cameBy(way: Way): Scene {
  return async (stage) => {
    const alice = await stage.join('alice', { way })
    alice.send(sendPacketFrame(alice.actor.key, Buffer.from('to myself')))
    await stage.settle(1)
    alice.send(ping)
    await stage.settle(1)
  }
}

/** One login for each text in the box; a relay answers with ServerInfo or closes. */
function saying(...texts: readonly (string | Uint8Array)[]): Scene {
  return async (stage) => {
    for (const [at, text] of texts.entries()) {
      const player = await stage.open(`client ${at}`)
      player.logIn(text)
      await stage.settle(1)
    }
  }
}

/** One login for each text, and then a frame for mesh peers alone: it shows who is one. */
function claiming(...texts: readonly string[]): Scene {
  return async (stage) => {
    for (const [at, text] of texts.entries()) {
      const player = await stage.open(`client ${at}`)
      player.logIn(text)
      await stage.settle(1)
      player.send(WATCH_CONNS_FRAME)
      await stage.settle(1)
      player.destroy()
    }
  }
}

/** One connection for each opening in place of a login. */
function openingWith(...openings: readonly Uint8Array[]): Scene {
  return async (stage) => {
    for (const [at, bytes] of openings.entries()) {
      const player = await stage.open(`client ${at}`)
      player.send(bytes)
      await stage.settle(1)
    }
  }
}

/** ClientInfo whose payload has a given length, the JSON filled up with spaces. */
function paddedInfo(stage: Stage, payloadBytes: number): Uint8Array {
  const plain = '{"version":2}'
  return clientInfo(
    stage.actor('alice'),
    plain.padEnd(payloadBytes - KEY_BYTES - NONCE_BYTES - BOX_TAG_BYTES, ' '),
  )
}

export const loginScenes: Scenes = {
  ...Object.fromEntries((Object.keys(ways) as Way[]).map((way) => [`login by ${way}`, cameBy(way)] as const)),

  'login, home note and packets in the write of the request': async (stage) => {
    const { key } = stage.actor('alice')
    const toSelf = [1, 2, 3].map((byte) => sendPacketFrame(key, Uint8Array.of(byte)))
    await stage.join('alice', { behind: [notePreferredFrame(true), ...toSelf], more: 3 })
  },

  'request and login byte by byte': async (stage) => {
    const alice = await stage.dial('alice')
    alice.expectFrames()
    const bytes = Buffer.concat([Buffer.from(requests['fast-start']), clientInfo(alice.actor), ping])
    await alice.trickle(bytes, 'request, ClientInfo and ping, byte by byte')
    await stage.settle(3)
  },

  'request and login byte by byte, with a 101': async (stage) => {
    const alice = await stage.dial('alice', { tls: false })
    await alice.trickle(Buffer.from(requests.upgrade), 'request, byte by byte')
    await stage.settle(2)
    await alice.trickle(Buffer.concat([clientInfo(alice.actor), ping]), 'ClientInfo and ping, byte by byte')
    await stage.settle(2)
  },

  "the vectors' logins": async (stage) => {
    for (const [name, { from, frame }] of Object.entries({ vectorInfo, proberInfo, meshPeerInfo })) {
      const player = await stage.open(name, { actor: stage.castAs(name, from) })
      player.send(frame)
      await stage.settle(1)
    }
  },

  'the first frame is another': openingWith(
    refusedLogins.otherType,
    headerOf(FrameType.serverKey, 40),
    headerOf(FrameType.ping, 8),
    headerOf(FrameType.notePreferred, 1),
    headerOf(FrameType.watchConns, 0),
    headerOf(0x7e, 100),
  ),

  'ClientInfo that is too short or too long': openingWith(
    headerOf(FrameType.clientInfo, 55),
    refusedLogins.tooLong,
  ),

  'ClientInfo is as long as it may be': async (stage) => {
    const alice = await stage.open('alice')
    alice.send(paddedInfo(stage, CLIENT_INFO_BYTES_MAX))
    await stage.settle(1)
    alice.send(ping)
    await stage.settle(1)
  },

  'ClientInfo without room for a box': openingWith(
    frameOf(FrameType.clientInfo, randomBytes(56)),
    frameOf(FrameType.clientInfo, randomBytes(71)),
  ),

  'the box does not open': async (stage) => {
    const alice = await stage.open('alice')
    const frame = clientInfo(alice.actor)
    frame.writeUInt8(frame.readUInt8(frame.length - 1) ^ 1, frame.length - 1)
    alice.send(frame)
    await stage.settle(1)
    const bob = await stage.open('bob')
    bob.send(frameOf(FrameType.clientInfo, bob.actor.key, clientInfo(alice.actor).subarray(5 + KEY_BYTES)))
    await stage.settle(1)
  },

  'the zero key, and keys of low order': async (stage) => {
    for (const first of [0, 1]) {
      const player = await stage.open(`client of key ${first}`)
      const sealed = clientInfo(player.actor).subarray(5 + KEY_BYTES)
      player.send(frameOf(FrameType.clientInfo, Uint8Array.of(first), new Uint8Array(KEY_BYTES - 1), sealed))
      await stage.settle(1)
    }
  },

  'a client that ends in the middle of its login': async (stage) => {
    const alice = await stage.open('alice')
    alice.send(clientInfo(alice.actor).subarray(0, 60))
    await stage.hangUp(alice)
    const bob = await stage.join('bob')
    bob.send(ping)
    await stage.settle(1)
  },

  'a client that never logs in': async (stage) => {
    await stage.open('alice')
    await stage.settle(1, 'ordered', 'up to 15 s')
  },

  'JSON that says nothing': saying('{}', 'null', ' { } ', '{"other":{"deep":[1,2,{}]}}'),
  'JSON that is none': saying('', ' ', '[]', '1', '"text"', 'true', '{', '{} {}', '{}x', '{"version":2,}'),
  'names in any case': saying(
    '{"VERSION":2,"canackpings":true}',
    '{"Version":2,"CANACKPINGS":false,"isprober":true}',
  ),
  'names twice': saying('{"version":"x","version":2}', '{"version":2,"version":"x"}'),
  'any version': saying(
    '{"version":0}',
    '{"version":1}',
    '{"version":3}',
    '{"version":-1}',
    '{"version":null}',
  ),
  'versions that are no int': saying(
    '{"version":"2"}',
    '{"version":2.5}',
    '{"version":true}',
    '{"version":[2]}',
  ),
  'whole numbers written with a fraction or an exponent': saying('{"version":2.0}', '{"version":1e2}'),
  'numbers beyond 64 bits': saying('{"version":9223372036854775807}', '{"version":9223372036854775808}'),
  'CanAckPings and IsProber': saying(
    '{"CanAckPings":null,"IsProber":null}',
    '{"CanAckPings":1}',
    '{"CanAckPings":"true"}',
    '{"IsProber":0}',
  ),
  'bytes that are no UTF-8': saying(
    Buffer.from('{"other":"\xff"}', 'latin1'),
    Buffer.from('{"version":2,"\xff":1}', 'latin1'),
  ),
  'a byte order mark': saying('\ufeff{"version":2}'),
  'names of applications': saying(
    '{"AppName":""}',
    '{"AppName":"probe 1.0 ~"}',
    `{"AppName":"${'a'.repeat(32)}"}`,
    '{"AppName":null}',
  ),
  'names of applications that are not admissible': saying(
    `{"AppName":"${'a'.repeat(33)}"}`,
    '{"AppName":"caf\\u00e9"}',
    '{"AppName":"a\\u001f"}',
    '{"AppName":"a\\u007f"}',
    '{"AppName":7}',
  ),
  'malformed mesh keys': saying(
    '{"meshKey":""}',
    '{"meshKey":null}',
    '{"meshKey":7}',
    `{"meshKey":"${hex.slice(2)}"}`,
    `{"meshKey":"${hex}00"}`,
    `{"meshKey":"${'x'.repeat(64)}"}`,
    `{"meshKey":"nodekey:${hex}"}`,
    `{"meshKey":" ${hex}"}`,
  ),
  'a mesh key in another case of its name is read': saying('{"MESHKEY":"x"}'),
  'mesh keys that are wrong': claiming(`{"meshKey":"${'1'.repeat(64)}"}`, `{"meshKey":"${'0'.repeat(64)}"}`),
  'mesh keys that are right': claiming(
    `{"meshKey":"${hex}"}`,
    `{"meshKey":"${hex.toUpperCase()}"}`,
    `{"MeshKey":"${hex}"}`,
    `{"meshKey":"${'1'.repeat(64)}","meshKey":"${hex}"}`,
  ),
}

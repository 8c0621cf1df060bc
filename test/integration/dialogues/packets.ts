// Packets between clients, PeerGone for keys that are not connected, control frames, and several connections of one
// key.

import { FrameType } from '#protocol/frame-type.ts'
import { notePreferredFrame, pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { KEY_BYTES, SEND_PACKET_BYTES_MAX, UNKNOWN_FRAME_BYTES_MAX } from '#protocol/limits.ts'
import { disco } from '../../vectors/frames.ts'
import { server } from '../../vectors/keys.ts'
import {
  meshInfo,
  type Script,
  type Scripts,
  type Dialogue,
  type ConnectionKind,
} from '../../support/dialogue.ts'
import { clientInfo, frameOf, headerOf } from '../../support/raw-frames.ts'

const ping = pingFrame(Buffer.from('12345678'))
const hello = Buffer.from('hello')
const someKey = Buffer.alloc(KEY_BYTES, 5)
/** A packet of any length with the byte pattern of the vectors' largest packet. */
const packetOf = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => 7 * i + 3)

/** Alice and bob send each other packets of the sizes that matter. */
function everySize(kind: ConnectionKind): Script {
  return async (dialogue) => {
    const alice = await dialogue.logIn('alice', { kind })
    const bob = await dialogue.logIn('bob', { kind })
    for (const bytes of [0, 1, 61, 62, 1_420, 32_768, 65_535, 65_536]) {
      alice.send(sendPacketFrame(bob.actor.key, packetOf(bytes)))
      await dialogue.settle(1)
      bob.send(sendPacketFrame(alice.actor.key, packetOf(bytes)))
      await dialogue.settle(1)
    }
  }
}

/**
 * After login alice sends bytes that make the relay close her connection. Bob, to whom she has sent a packet, is not
 * affected.
 */
function closedFor(bytes: Uint8Array, info?: string): Script {
  return async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const alice = await dialogue.logIn('alice', { info })
    alice.send(sendPacketFrame(bob.actor.key, hello))
    await dialogue.settle(1)
    alice.send(bytes)
    await dialogue.settle(2)
    bob.send(ping)
    await dialogue.settle(1)
  }
}

/** After login alice sends frames that the relay ignores; her next packet is delivered. */
function ignored(...frames: readonly Uint8Array[]): Script {
  return async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    alice.send(...frames, sendPacketFrame(alice.actor.key, hello))
    await dialogue.settle(1)
  }
}

/** Three sessions of one key; none of them sends anything after its login. */
async function threeOfAKey(dialogue: Dialogue): Promise<void> {
  const bob = await dialogue.logIn('bob')
  const sessions = []
  for (const name of ['first', 'second', 'third']) {
    sessions.push(await dialogue.logIn(name, { actor: dialogue.actor('alice') }))
  }
  for (const session of sessions.toReversed()) {
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
    await dialogue.disconnect(session)
  }
}

export const packetScripts: Scripts = {
  'packets of every size by fast start': everySize('fast start over TLS 1.3'),
  'packets of every size by WebSocket': everySize('WebSocket over TLS'),

  'thirty packets in one write, in order': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const alice = await dialogue.logIn('alice')
    alice.send(...Array.from({ length: 30 }, (_, i) => sendPacketFrame(bob.actor.key, Uint8Array.of(i))))
    await dialogue.settle(30)
  },

  'a packet in single bytes': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const alice = await dialogue.logIn('alice')
    await alice.sendByteByByte(sendPacketFrame(bob.actor.key, packetOf(100)), 'SendPacket, byte by byte')
    await dialogue.settle(1)
  },

  'SendPacket without a whole key': closedFor(headerOf(FrameType.sendPacket, KEY_BYTES - 1)),
  // derper checks the length after it has read the key.
  'SendPacket over its limit': closedFor(
    Buffer.concat([headerOf(FrameType.sendPacket, SEND_PACKET_BYTES_MAX + 1), someKey]),
  ),
  'SendPacket of four gigabytes': closedFor(
    Buffer.concat([headerOf(FrameType.sendPacket, 0xffff_ffff), someKey]),
  ),
  'a client that disconnects inside a frame': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const alice = await dialogue.logIn('alice')
    alice.send(sendPacketFrame(bob.actor.key, packetOf(100)).subarray(0, 90))
    await dialogue.disconnect(alice)
    bob.send(ping)
    await dialogue.settle(1)
  },

  'disco messages to a key that is not connected': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    const nobody = dialogue.actor('nobody').key
    alice.send(sendPacketFrame(nobody, disco.message))
    await dialogue.settle(1)
    alice.send(...Array.from({ length: 5 }, () => sendPacketFrame(nobody, disco.message)))
    await dialogue.settle(2)
    // After a second without such packets, the relay sends one more PeerGone.
    await dialogue.pause(1_200)
    alice.send(sendPacketFrame(nobody, disco.message))
    await dialogue.settle(1)
    alice.send(sendPacketFrame(nobody, disco.message))
    await dialogue.settle(0)
    const bob = await dialogue.logIn('bob')
    bob.send(...Array.from({ length: 5 }, () => sendPacketFrame(nobody, disco.message)))
    await dialogue.settle(3)
  },

  'other packets to a key that is not connected': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    const nobody = dialogue.actor('nobody').key
    const bad = Buffer.from(disco.message).fill(0, 5, 6)
    for (const packet of [hello, disco.message.subarray(0, -1), bad, packetOf(1_420), new Uint8Array(0)]) {
      alice.send(sendPacketFrame(nobody, packet))
    }
    alice.send(ping)
    await dialogue.settle(1)
    alice.send(sendPacketFrame(nobody, disco.message))
    await dialogue.settle(1)
  },

  'disco messages to the zero key and to the server': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    alice.send(sendPacketFrame(dialogue.actorWithKey('zero', zero).key, disco.message))
    await dialogue.settle(1)
    alice.send(sendPacketFrame(server.publicKey, disco.message))
    await dialogue.settle(1)
  },

  'recipients of a peer are notified when it disconnects': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    const bob = await dialogue.logIn('bob')
    const cathy = await dialogue.logIn('cathy')
    alice.send(sendPacketFrame(bob.actor.key, hello))
    await dialogue.settle(1)
    cathy.send(sendPacketFrame(alice.actor.key, hello))
    await dialogue.settle(1)
    await dialogue.disconnect(alice)
    await dialogue.settle(1)
    cathy.send(ping)
    await dialogue.settle(1)
  },

  'a peer that disconnects twice': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    for (const name of ['alice', 'alice again']) {
      const alice = await dialogue.logIn(name, { actor: dialogue.actor('alice') })
      alice.send(sendPacketFrame(bob.actor.key, hello))
      await dialogue.settle(1)
      await dialogue.disconnect(alice)
      await dialogue.settle(name === 'alice' ? 1 : 0)
    }
    bob.send(ping)
    await dialogue.settle(1)
  },

  'a peer that reconnects before its old connection ends': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const old = await dialogue.logIn('alice', {})
    old.send(sendPacketFrame(bob.actor.key, hello))
    await dialogue.settle(1)
    const fresh = await dialogue.logIn('alice again', { actor: dialogue.actor('alice') })
    await dialogue.disconnect(old)
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
    await dialogue.disconnect(fresh)
    await dialogue.settle(1)
  },

  'unknown frames': ignored(headerOf(0x7e, 0), frameOf(0x7e, packetOf(100)), frameOf(0x0b, packetOf(8))),
  'an unknown frame of the greatest length': ignored(frameOf(0xff, packetOf(UNKNOWN_FRAME_BYTES_MAX))),
  'frames that only relays send': ignored(
    frameOf(FrameType.serverKey, packetOf(40)),
    frameOf(FrameType.serverInfo, packetOf(53)),
    frameOf(FrameType.recvPacket, packetOf(40)),
    frameOf(FrameType.keepAlive),
    frameOf(FrameType.peerGone, packetOf(33)),
    frameOf(FrameType.peerPresent, packetOf(52)),
    frameOf(FrameType.health, Buffer.from('ill')),
    frameOf(FrameType.restarting, packetOf(8)),
  ),
  'a pong and a second login': async (dialogue) => {
    await ignored(frameOf(FrameType.pong, packetOf(8)), clientInfo(dialogue.actor('alice')))(dialogue)
  },
  'an unknown frame over the greatest length': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    alice.send(headerOf(0xff, UNKNOWN_FRAME_BYTES_MAX + 1))
    await dialogue.settle(1)
  },

  'pings of every length': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    for (const bytes of [8, 9, 12, 1_000]) {
      alice.send(pingFrame(packetOf(bytes)))
      await dialogue.settle(1)
    }
  },
  'a ping that is too short': closedFor(headerOf(FrameType.ping, 7)),
  'an empty ping': closedFor(headerOf(FrameType.ping, 0)),
  'a ping that is too long': closedFor(headerOf(FrameType.ping, 1_001)),
  'a hundred pings in one write': async (dialogue) => {
    const alice = await dialogue.logIn('alice')
    alice.send(...Array.from({ length: 100 }, () => ping))
    await dialogue.settleRepeats()
    alice.send(pingFrame(Buffer.from('the last')))
    await dialogue.settle(1)
  },

  'NotePreferred frames': ignored(
    notePreferredFrame(true),
    notePreferredFrame(true),
    notePreferredFrame(false),
  ),
  'NotePreferred with another value': ignored(frameOf(FrameType.notePreferred, Uint8Array.of(7))),
  'an empty NotePreferred': closedFor(headerOf(FrameType.notePreferred, 0)),
  'a NotePreferred of two bytes': closedFor(headerOf(FrameType.notePreferred, 2)),

  'the newest connection of a key receives until it ends': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const old = await dialogue.logIn('old', { actor: dialogue.actor('alice') })
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
    const fresh = await dialogue.logIn('new', { actor: dialogue.actor('alice') })
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
    await dialogue.disconnect(fresh)
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
    await dialogue.disconnect(old)
    bob.send(sendPacketFrame(dialogue.actor('alice').key, disco.message))
    await dialogue.settle(1)
  },

  'any frame makes its connection the receiving one': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const old = await dialogue.logIn('old', { actor: dialogue.actor('alice') })
    const fresh = await dialogue.logIn('new', { actor: dialogue.actor('alice') })
    for (const [client, frame] of [
      [old, frameOf(0x7e)],
      [fresh, notePreferredFrame(true)],
      [old, frameOf(FrameType.keepAlive)],
    ] as const) {
      client.send(frame)
      await dialogue.settle(0)
      bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
      await dialogue.settle(1)
    }
    fresh.send(ping)
    await dialogue.settle(1)
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
  },

  'a header alone makes its connection the receiving one': async (dialogue) => {
    const bob = await dialogue.logIn('bob')
    const old = await dialogue.logIn('old', { actor: dialogue.actor('alice') })
    await dialogue.logIn('new', { actor: dialogue.actor('alice') })
    old.send(headerOf(0x7e, 10))
    await dialogue.settle(0)
    bob.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
  },

  'a packet to the own key, from the connection that does not receive': async (dialogue) => {
    const old = await dialogue.logIn('old', { actor: dialogue.actor('alice') })
    await dialogue.logIn('new', { actor: dialogue.actor('alice') })
    old.send(sendPacketFrame(dialogue.actor('alice').key, hello))
    await dialogue.settle(1)
  },

  'three connections of a key end one after another': threeOfAKey,

  'a mesh peer is a client too': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    const alice = await dialogue.logIn('alice')
    sibling.send(sendPacketFrame(alice.actor.key, hello))
    await dialogue.settle(1)
    alice.send(sendPacketFrame(sibling.actor.key, hello))
    await dialogue.settle(1)
  },
}

const zero = { privateKey: server.privateKey, publicKey: Buffer.alloc(KEY_BYTES) }

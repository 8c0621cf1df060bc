// Packets between clients, what is told of those who are not there, control frames, and several connections of one
// key.

import { FrameType } from '#protocol/frame-type.ts'
import { notePreferredFrame, pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { KEY_BYTES, SEND_PACKET_BYTES_MAX, UNKNOWN_FRAME_BYTES_MAX } from '#protocol/limits.ts'
import { disco } from '../../vectors/frames.ts'
import { server } from '../../vectors/keys.ts'
import { meshInfo, type Scene, type Scenes, type Stage, type Way } from '../../support/dialogue.ts'
import { clientInfo, frameOf, headerOf } from '../../support/scripted-client.ts'

const ping = pingFrame(Buffer.from('12345678'))
const hello = Buffer.from('hello')
const someKey = Buffer.alloc(KEY_BYTES, 5)
/** A packet of any length, the byte pattern of the vectors' largest. */
const packetOf = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => 7 * i + 3)

/** Alice and bob send each other packets of every notable size. */
function everySize(way: Way): Scene {
  return async (stage) => {
    const alice = await stage.join('alice', { way })
    const bob = await stage.join('bob', { way })
    for (const bytes of [0, 1, 61, 62, 1_420, 32_768, 65_535, 65_536]) {
      alice.send(sendPacketFrame(bob.actor.key, packetOf(bytes)))
      await stage.settle(1)
      bob.send(sendPacketFrame(alice.actor.key, packetOf(bytes)))
      await stage.settle(1)
    }
  }
}

/** After login alice sends bytes for which relays close; bob, to whom she had sent, notices nothing. */
function closedFor(bytes: Uint8Array, info?: string): Scene {
  return async (stage) => {
    const bob = await stage.join('bob')
    const alice = await stage.join('alice', { info })
    alice.send(sendPacketFrame(bob.actor.key, hello))
    await stage.settle(1)
    alice.send(bytes)
    await stage.settle(2)
    bob.send(ping)
    await stage.settle(1)
  }
}

/** After login alice sends bytes of which nothing comes, and is served as before. */
function ignored(...frames: readonly Uint8Array[]): Scene {
  return async (stage) => {
    const alice = await stage.join('alice')
    alice.send(...frames, sendPacketFrame(alice.actor.key, hello))
    await stage.settle(1)
  }
}

/** Three sessions of one key, the first two of which say nothing after their login. */
async function threeOfAKey(stage: Stage): Promise<void> {
  const bob = await stage.join('bob')
  const sessions = []
  for (const name of ['first', 'second', 'third']) {
    sessions.push(await stage.join(name, { actor: stage.actor('alice') }))
  }
  for (const session of sessions.toReversed()) {
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
    await stage.hangUp(session)
  }
}

export const packetScenes: Scenes = {
  'packets of every size by fast start': everySize('fast start over TLS 1.3'),
  'packets of every size by WebSocket': everySize('WebSocket over TLS'),

  'thirty packets in one write, in order': async (stage) => {
    const bob = await stage.join('bob')
    const alice = await stage.join('alice')
    alice.send(...Array.from({ length: 30 }, (_, i) => sendPacketFrame(bob.actor.key, Uint8Array.of(i))))
    await stage.settle(30)
  },

  'a packet in single bytes': async (stage) => {
    const bob = await stage.join('bob')
    const alice = await stage.join('alice')
    await alice.trickle(sendPacketFrame(bob.actor.key, packetOf(100)), 'SendPacket, byte by byte')
    await stage.settle(1)
  },

  'SendPacket without a whole key': closedFor(headerOf(FrameType.sendPacket, KEY_BYTES - 1)),
  // derper looks at the length when it has read the key.
  'SendPacket over its limit': closedFor(
    Buffer.concat([headerOf(FrameType.sendPacket, SEND_PACKET_BYTES_MAX + 1), someKey]),
  ),
  'SendPacket of four gigabytes': closedFor(
    Buffer.concat([headerOf(FrameType.sendPacket, 0xffff_ffff), someKey]),
  ),
  'a client that ends inside a frame': async (stage) => {
    const bob = await stage.join('bob')
    const alice = await stage.join('alice')
    alice.send(sendPacketFrame(bob.actor.key, packetOf(100)).subarray(0, 90))
    await stage.hangUp(alice)
    bob.send(ping)
    await stage.settle(1)
  },

  'disco messages for one who is not here': async (stage) => {
    const alice = await stage.join('alice')
    const nobody = stage.actor('nobody').key
    alice.send(sendPacketFrame(nobody, disco.message))
    await stage.settle(1)
    alice.send(...Array.from({ length: 5 }, () => sendPacketFrame(nobody, disco.message)))
    await stage.settle(2)
    // A second of silence is worth one more answer.
    await stage.pause(1_200)
    alice.send(sendPacketFrame(nobody, disco.message))
    await stage.settle(1)
    alice.send(sendPacketFrame(nobody, disco.message))
    await stage.settle(0)
    const bob = await stage.join('bob')
    bob.send(...Array.from({ length: 5 }, () => sendPacketFrame(nobody, disco.message)))
    await stage.settle(3)
  },

  'anything but disco messages for one who is not here': async (stage) => {
    const alice = await stage.join('alice')
    const nobody = stage.actor('nobody').key
    const bad = Buffer.from(disco.message).fill(0, 5, 6)
    for (const packet of [hello, disco.message.subarray(0, -1), bad, packetOf(1_420), new Uint8Array(0)]) {
      alice.send(sendPacketFrame(nobody, packet))
    }
    alice.send(ping)
    await stage.settle(1)
    alice.send(sendPacketFrame(nobody, disco.message))
    await stage.settle(1)
  },

  'disco messages for the zero key and for the server': async (stage) => {
    const alice = await stage.join('alice')
    alice.send(sendPacketFrame(stage.castAs('zero', zero).key, disco.message))
    await stage.settle(1)
    alice.send(sendPacketFrame(server.publicKey, disco.message))
    await stage.settle(1)
  },

  'who heard a peer is told when it leaves': async (stage) => {
    const alice = await stage.join('alice')
    const bob = await stage.join('bob')
    const cathy = await stage.join('cathy')
    alice.send(sendPacketFrame(bob.actor.key, hello))
    await stage.settle(1)
    cathy.send(sendPacketFrame(alice.actor.key, hello))
    await stage.settle(1)
    await stage.hangUp(alice)
    await stage.settle(1)
    cathy.send(ping)
    await stage.settle(1)
  },

  'a peer that leaves twice': async (stage) => {
    const bob = await stage.join('bob')
    for (const name of ['alice', 'alice again']) {
      const alice = await stage.join(name, { actor: stage.actor('alice') })
      alice.send(sendPacketFrame(bob.actor.key, hello))
      await stage.settle(1)
      await stage.hangUp(alice)
      await stage.settle(name === 'alice' ? 1 : 0)
    }
    bob.send(ping)
    await stage.settle(1)
  },

  'a peer that comes back before its old connection dies': async (stage) => {
    const bob = await stage.join('bob')
    const old = await stage.join('alice', {})
    old.send(sendPacketFrame(bob.actor.key, hello))
    await stage.settle(1)
    const fresh = await stage.join('alice again', { actor: stage.actor('alice') })
    await stage.hangUp(old)
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
    await stage.hangUp(fresh)
    await stage.settle(1)
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
  'a pong and a second login': async (stage) => {
    await ignored(frameOf(FrameType.pong, packetOf(8)), clientInfo(stage.actor('alice')))(stage)
  },
  'an unknown frame beyond that': async (stage) => {
    const alice = await stage.join('alice')
    alice.send(headerOf(0xff, UNKNOWN_FRAME_BYTES_MAX + 1))
    await stage.settle(1)
  },

  'pings of every length': async (stage) => {
    const alice = await stage.join('alice')
    for (const bytes of [8, 9, 12, 1_000]) {
      alice.send(pingFrame(packetOf(bytes)))
      await stage.settle(1)
    }
  },
  'a ping that is too short': closedFor(headerOf(FrameType.ping, 7)),
  'an empty ping': closedFor(headerOf(FrameType.ping, 0)),
  'a ping that is too long': closedFor(headerOf(FrameType.ping, 1_001)),
  'a hundred pings in one write': async (stage) => {
    const alice = await stage.join('alice')
    alice.send(...Array.from({ length: 100 }, () => ping))
    await stage.settleRepeats()
    alice.send(pingFrame(Buffer.from('the last')))
    await stage.settle(1)
  },

  'home notes': ignored(notePreferredFrame(true), notePreferredFrame(true), notePreferredFrame(false)),
  'a home note of another value': ignored(frameOf(FrameType.notePreferred, Uint8Array.of(7))),
  'an empty home note': closedFor(headerOf(FrameType.notePreferred, 0)),
  'a home note of two bytes': closedFor(headerOf(FrameType.notePreferred, 2)),

  'the newest connection of a key receives, and gives back when it ends': async (stage) => {
    const bob = await stage.join('bob')
    const old = await stage.join('old', { actor: stage.actor('alice') })
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
    const fresh = await stage.join('new', { actor: stage.actor('alice') })
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
    await stage.hangUp(fresh)
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
    await stage.hangUp(old)
    bob.send(sendPacketFrame(stage.actor('alice').key, disco.message))
    await stage.settle(1)
  },

  'any frame makes a connection the one that receives': async (stage) => {
    const bob = await stage.join('bob')
    const old = await stage.join('old', { actor: stage.actor('alice') })
    const fresh = await stage.join('new', { actor: stage.actor('alice') })
    for (const [player, frame] of [
      [old, frameOf(0x7e)],
      [fresh, notePreferredFrame(true)],
      [old, frameOf(FrameType.keepAlive)],
    ] as const) {
      player.send(frame)
      await stage.settle(0)
      bob.send(sendPacketFrame(stage.actor('alice').key, hello))
      await stage.settle(1)
    }
    fresh.send(ping)
    await stage.settle(1)
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
  },

  'a header alone makes a connection the one that receives': async (stage) => {
    const bob = await stage.join('bob')
    const old = await stage.join('old', { actor: stage.actor('alice') })
    await stage.join('new', { actor: stage.actor('alice') })
    old.send(headerOf(0x7e, 10))
    await stage.settle(0)
    bob.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
  },

  'a packet to oneself, from the connection that did not receive': async (stage) => {
    const old = await stage.join('old', { actor: stage.actor('alice') })
    await stage.join('new', { actor: stage.actor('alice') })
    old.send(sendPacketFrame(stage.actor('alice').key, hello))
    await stage.settle(1)
  },

  'three connections of a key end one after another': threeOfAKey,

  'a mesh peer is a client too': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    const alice = await stage.join('alice')
    sibling.send(sendPacketFrame(alice.actor.key, hello))
    await stage.settle(1)
    alice.send(sendPacketFrame(sibling.actor.key, hello))
    await stage.settle(1)
  },
}

const zero = { privateKey: server.privateKey, publicKey: Buffer.alloc(KEY_BYTES) }

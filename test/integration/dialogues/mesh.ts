// Frames between relays of a region, from clients with and without the mesh key.

import { FrameType } from '#protocol/frame-type.ts'
import {
  closePeerFrame,
  forwardPacketFrame,
  notePreferredFrame,
  pingFrame,
  sendPacketFrame,
  WATCH_CONNS_FRAME,
} from '#protocol/frames.ts'
import { FORWARD_PACKET_BYTES_MAX, KEY_BYTES } from '#protocol/limits.ts'
import { disco } from '../../vectors/frames.ts'
import { server } from '../../vectors/keys.ts'
import { meshInfo, requests, type Script, type Scripts, type Dialogue } from '../../support/dialogue.ts'
import { clientInfo, frameOf, headerOf } from '../../support/raw-frames.ts'
import type { ScriptedClient } from '../../support/scripted-client.ts'

const ping = pingFrame(Buffer.from('12345678'))
const hello = Buffer.from('hello')
const key = Buffer.alloc(KEY_BYTES, 5)

/** A sibling that watches and has received its own presence. */
async function watcher(dialogue: Dialogue, name = 'sibling'): Promise<ScriptedClient> {
  const sibling = await dialogue.logIn(name, { info: meshInfo })
  sibling.send(WATCH_CONNS_FRAME)
  await dialogue.settle(1)
  return sibling
}

/** The relay closes the sender's connection. */
function closedFor(frame: Uint8Array, info?: string): Script {
  return async (dialogue) => {
    const client = await dialogue.logIn(info === undefined ? 'alice' : 'sibling', { info })
    client.send(frame)
    await dialogue.settle(1)
  }
}

export const meshScripts: Scripts = {
  'a watcher receives the presence of all clients': async (dialogue) => {
    await dialogue.logIn('alice', { localAddress: '127.0.0.2' })
    await dialogue.logIn('bob', { kind: 'WebSocket over TLS' })
    await dialogue.logIn('prober', { info: '{"version":2,"IsProber":true,"AppName":"probe 1.0"}' })
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    sibling.send(WATCH_CONNS_FRAME)
    await dialogue.settle(4, 'unordered')
  },

  'a watcher receives presence changes': async (dialogue) => {
    await watcher(dialogue)
    const alice = await dialogue.logIn('alice', { following: [notePreferredFrame(true)], moreItems: 1 })
    await dialogue.disconnect(alice)
    await dialogue.settle(1)
    await dialogue.logIn('bob', { kind: '101 over TLS 1.2', moreItems: 1 })
  },

  'a watcher receives the flag of a client that is not on its ideal node': async (dialogue) => {
    await watcher(dialogue)
    for (const [at, text] of [
      '{"version":2}',
      '{"IsProber":true}',
      meshInfo,
      meshInfo.replace('{', '{"IsProber":true,'),
    ].entries()) {
      const client = await dialogue.dial(`client ${at}`)
      client.expectFrames()
      const request = requests['fast-start'].replace('Upgrade: DERP', 'Ideal-Node: 900a\r\nUpgrade: DERP')
      client.request(request, clientInfo(client.actor, text))
      await dialogue.settle(3)
    }
  },

  'an empty Ideal-Node field': async (dialogue) => {
    await watcher(dialogue)
    const alice = await dialogue.dial('alice')
    alice.expectFrames()
    const request = requests['fast-start'].replace('Upgrade: DERP', 'Ideal-Node: \r\nUpgrade: DERP')
    alice.request(request, clientInfo(alice.actor))
    await dialogue.settle(3)
  },

  'WatchConns in the same write as the login': async (dialogue) => {
    await dialogue.logIn('sibling', { info: meshInfo, following: [WATCH_CONNS_FRAME], moreItems: 1 })
  },

  'WatchConns twice': async (dialogue) => {
    const sibling = await watcher(dialogue)
    sibling.send(WATCH_CONNS_FRAME)
    await dialogue.settle(1)
    await dialogue.logIn('alice', { moreItems: 1 })
  },

  'presence of a key with two connections: announced twice, gone once': async (dialogue) => {
    await watcher(dialogue)
    const first = await dialogue.logIn('first', { actor: dialogue.actor('alice'), moreItems: 1 })
    const second = await dialogue.logIn('second', { actor: dialogue.actor('alice'), moreItems: 1 })
    await dialogue.disconnect(first)
    await dialogue.settle(0)
    await dialogue.disconnect(second)
    await dialogue.settle(1)
  },

  'two watchers receive the presence of each other': async (dialogue) => {
    await watcher(dialogue, 'sibling')
    const other = await dialogue.logIn('other sibling', { info: meshInfo, moreItems: 1 })
    other.send(WATCH_CONNS_FRAME)
    await dialogue.settle(2, 'unordered')
    await dialogue.disconnect(other)
    await dialogue.settle(1)
  },

  'a watcher with the relay key receives no presence': async (dialogue) => {
    const itself = await dialogue.logIn('itself', {
      info: meshInfo,
      actor: dialogue.actorWithKey('server', server),
    })
    itself.send(WATCH_CONNS_FRAME)
    await dialogue.settle(0)
    itself.send(ping)
    await dialogue.settle(1)
    await dialogue.logIn('alice')
    itself.send(ping)
    await dialogue.settle(1)
  },

  'packets are forwarded from any source key': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    const bob = await dialogue.logIn('bob')
    const far = dialogue.actor('remote client').key
    for (const packet of [hello, new Uint8Array(0), disco.message, Buffer.alloc(65_536, 7)]) {
      sibling.send(forwardPacketFrame(far, bob.actor.key, packet))
      await dialogue.settle(1)
    }
  },

  'forwarding to the own key': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    sibling.send(forwardPacketFrame(dialogue.actor('remote client').key, sibling.actor.key, hello))
    await dialogue.settle(1)
  },

  'forwarding to a key that is not connected': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    const [far, nobody] = [dialogue.actor('remote client').key, dialogue.actor('nobody').key]
    sibling.send(forwardPacketFrame(far, nobody, hello), ping)
    await dialogue.settle(1)
    sibling.send(...Array.from({ length: 5 }, () => forwardPacketFrame(far, nobody, disco.message)))
    await dialogue.settle(3)
  },

  'recipients of a forwarded packet are notified when its sender disconnects': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    const bob = await dialogue.logIn('bob')
    const alice = await dialogue.logIn('alice')
    sibling.send(forwardPacketFrame(alice.actor.key, bob.actor.key, hello))
    await dialogue.settle(1)
    await dialogue.disconnect(alice)
    await dialogue.settle(1)
  },

  'forwarding under the zero key': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    const bob = await dialogue.logIn('bob')
    sibling.send(forwardPacketFrame(Buffer.alloc(KEY_BYTES), bob.actor.key, hello))
    await dialogue.settle(0)
    sibling.send(forwardPacketFrame(dialogue.actor('remote client').key, bob.actor.key, hello))
    await dialogue.settle(1)
  },

  'ForwardPacket without two whole keys': closedFor(headerOf(FrameType.forwardPacket, 63), meshInfo),
  // derper checks the length after it has read the keys.
  'ForwardPacket over its limit': closedFor(
    Buffer.concat([headerOf(FrameType.forwardPacket, FORWARD_PACKET_BYTES_MAX + 1), key, key]),
    meshInfo,
  ),
  'ForwardPacket without the mesh key': closedFor(headerOf(FrameType.forwardPacket, 70)),
  'WatchConns with a payload': closedFor(headerOf(FrameType.watchConns, 1), meshInfo),
  'WatchConns without the mesh key': closedFor(WATCH_CONNS_FRAME),
  'ClosePeer without a whole key': closedFor(headerOf(FrameType.closePeer, 31), meshInfo),
  'ClosePeer with more than a key': closedFor(headerOf(FrameType.closePeer, 33), meshInfo),
  'ClosePeer without the mesh key': closedFor(closePeerFrame(key)),

  'closing a peer closes all its connections': async (dialogue) => {
    const sibling = await watcher(dialogue)
    const bob = await dialogue.logIn('bob', { moreItems: 1 })
    // So many that, very probably, each thread of a relay has some of them.
    const names = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth']
    for (const name of names) {
      const alice = await dialogue.logIn(name, { actor: dialogue.actor('alice'), moreItems: 1 })
      alice.send(sendPacketFrame(bob.actor.key, hello))
      await dialogue.settle(1)
    }
    sibling.send(closePeerFrame(dialogue.actor('alice').key))
    await dialogue.settle(names.length + 2)
  },

  'closing a key that is not connected': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    sibling.send(closePeerFrame(dialogue.actor('nobody').key), ping)
    await dialogue.settle(1)
  },

  'closing the own key': async (dialogue) => {
    const sibling = await dialogue.logIn('sibling', { info: meshInfo })
    sibling.send(closePeerFrame(sibling.actor.key))
    await dialogue.settle(1)
  },

  'an invalid frame from a mesh peer': closedFor(frameOf(FrameType.notePreferred), meshInfo),
}

// Frames for relays of one region, by those who hold the mesh key and by those who don't.

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
import { meshInfo, requests, type Scene, type Scenes, type Stage } from '../../support/dialogue.ts'
import { clientInfo, frameOf, headerOf, type Player } from '../../support/scripted-client.ts'

const ping = pingFrame(Buffer.from('12345678'))
const hello = Buffer.from('hello')
const key = Buffer.alloc(KEY_BYTES, 5)

/** A sibling that watches, its own presence seen. */
async function watcher(stage: Stage, name = 'sibling'): Promise<Player> {
  const sibling = await stage.join(name, { info: meshInfo })
  sibling.send(WATCH_CONNS_FRAME)
  await stage.settle(1)
  return sibling
}

/** The sender is closed. */
function closedFor(frame: Uint8Array, info?: string): Scene {
  return async (stage) => {
    const player = await stage.join(info === undefined ? 'alice' : 'sibling', { info })
    player.send(frame)
    await stage.settle(1)
  }
}

export const meshScenes: Scenes = {
  'watching shows everybody who is here': async (stage) => {
    await stage.join('alice', { localAddress: '127.0.0.2' })
    await stage.join('bob', { way: 'WebSocket over TLS' })
    await stage.join('prober', { info: '{"version":2,"IsProber":true,"AppName":"probe 1.0"}' })
    const sibling = await stage.join('sibling', { info: meshInfo })
    sibling.send(WATCH_CONNS_FRAME)
    await stage.settle(4, 'unordered')
  },

  'watching shows who comes and goes': async (stage) => {
    await watcher(stage)
    const alice = await stage.join('alice', { behind: [notePreferredFrame(true)], more: 1 })
    await stage.hangUp(alice)
    await stage.settle(1)
    await stage.join('bob', { way: '101 over TLS 1.2', more: 1 })
  },

  'watching shows a client that is not on its ideal node': async (stage) => {
    await watcher(stage)
    for (const [at, text] of [
      '{"version":2}',
      '{"IsProber":true}',
      meshInfo,
      meshInfo.replace('{', '{"IsProber":true,'),
    ].entries()) {
      const player = await stage.dial(`client ${at}`)
      player.expectFrames()
      const request = requests['fast-start'].replace('Upgrade: DERP', 'Ideal-Node: 900a\r\nUpgrade: DERP')
      player.request(request, clientInfo(player.actor, text))
      await stage.settle(3)
    }
  },

  'an ideal node without a name is no other node': async (stage) => {
    await watcher(stage)
    const alice = await stage.dial('alice')
    alice.expectFrames()
    const request = requests['fast-start'].replace('Upgrade: DERP', 'Ideal-Node: \r\nUpgrade: DERP')
    alice.request(request, clientInfo(alice.actor))
    await stage.settle(3)
  },

  'watching with the login': async (stage) => {
    await stage.join('sibling', { info: meshInfo, behind: [WATCH_CONNS_FRAME], more: 1 })
  },

  'watching twice': async (stage) => {
    const sibling = await watcher(stage)
    sibling.send(WATCH_CONNS_FRAME)
    await stage.settle(1)
    await stage.join('alice', { more: 1 })
  },

  'every connection of a key is announced, and its leaving once': async (stage) => {
    await watcher(stage)
    const first = await stage.join('first', { actor: stage.actor('alice'), more: 1 })
    const second = await stage.join('second', { actor: stage.actor('alice'), more: 1 })
    await stage.hangUp(first)
    await stage.settle(0)
    await stage.hangUp(second)
    await stage.settle(1)
  },

  'two watchers see each other': async (stage) => {
    await watcher(stage, 'sibling')
    const other = await stage.join('other sibling', { info: meshInfo, more: 1 })
    other.send(WATCH_CONNS_FRAME)
    await stage.settle(2, 'unordered')
    await stage.hangUp(other)
    await stage.settle(1)
  },

  'the relay itself as a watcher is shown nothing': async (stage) => {
    const itself = await stage.join('itself', { info: meshInfo, actor: stage.castAs('server', server) })
    itself.send(WATCH_CONNS_FRAME)
    await stage.settle(0)
    itself.send(ping)
    await stage.settle(1)
    await stage.join('alice')
    itself.send(ping)
    await stage.settle(1)
  },

  'forwarding delivers under any name': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    const bob = await stage.join('bob')
    const far = stage.actor('one far away').key
    for (const packet of [hello, new Uint8Array(0), disco.message, Buffer.alloc(65_536, 7)]) {
      sibling.send(forwardPacketFrame(far, bob.actor.key, packet))
      await stage.settle(1)
    }
  },

  'forwarding to oneself': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    sibling.send(forwardPacketFrame(stage.actor('one far away').key, sibling.actor.key, hello))
    await stage.settle(1)
  },

  'forwarding to one who is not here': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    const [far, nobody] = [stage.actor('one far away').key, stage.actor('nobody').key]
    sibling.send(forwardPacketFrame(far, nobody, hello), ping)
    await stage.settle(1)
    sibling.send(...Array.from({ length: 5 }, () => forwardPacketFrame(far, nobody, disco.message)))
    await stage.settle(3)
  },

  'who heard a forwarded packet is told when its sender leaves': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    const bob = await stage.join('bob')
    const alice = await stage.join('alice')
    sibling.send(forwardPacketFrame(alice.actor.key, bob.actor.key, hello))
    await stage.settle(1)
    await stage.hangUp(alice)
    await stage.settle(1)
  },

  'forwarding under the zero key': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    const bob = await stage.join('bob')
    sibling.send(forwardPacketFrame(Buffer.alloc(KEY_BYTES), bob.actor.key, hello))
    await stage.settle(0)
    sibling.send(forwardPacketFrame(stage.actor('one far away').key, bob.actor.key, hello))
    await stage.settle(1)
  },

  'ForwardPacket without two whole keys': closedFor(headerOf(FrameType.forwardPacket, 63), meshInfo),
  // derper looks at the length when it has read the keys.
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

  'closing a peer closes all its connections': async (stage) => {
    const sibling = await watcher(stage)
    const bob = await stage.join('bob', { more: 1 })
    // As many as make it unlikely that the threads of a relay have not all of them some.
    const names = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth']
    for (const name of names) {
      const alice = await stage.join(name, { actor: stage.actor('alice'), more: 1 })
      alice.send(sendPacketFrame(bob.actor.key, hello))
      await stage.settle(1)
    }
    sibling.send(closePeerFrame(stage.actor('alice').key))
    await stage.settle(names.length + 2)
  },

  'closing one who is not here': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    sibling.send(closePeerFrame(stage.actor('nobody').key), ping)
    await stage.settle(1)
  },

  'closing oneself': async (stage) => {
    const sibling = await stage.join('sibling', { info: meshInfo })
    sibling.send(closePeerFrame(sibling.actor.key))
    await stage.settle(1)
  },

  'a mesh peer may break no other rule': closedFor(frameOf(FrameType.notePreferred), meshInfo),
}

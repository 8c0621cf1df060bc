// The published dialogue of three connections, replayed with the vectors' own frames and compared byte for byte where
// the bytes do not depend on the server's nonces.

import { expect, it } from 'vitest'
import { frames, disco, packet } from '../vectors/frames.ts'
import * as login from '../vectors/login.ts'
import { alice, bob, sibling } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'

const greeting = ['ServerKey server', 'ServerInfo version 2']

it('a sibling, a client and a prober are served frame by frame', () => {
  const relay = new TestRelay()

  const m = relay.connect(sibling, { ip: '198.51.100.9', port: 50_001 })
  m.send(login.meshPeerInfo.frame, frames.watchConns)
  expect(m.take()).toEqual([...greeting, 'PeerPresent sibling 198.51.100.9:50001 flags 2'])

  const a = relay.connect(alice, { ip: '203.0.113.7', port: 41_641 })
  a.send(login.clientInfo.frame, frames.notePreferredYes)
  expect(a.take()).toEqual(greeting)
  expect(Buffer.concat(a.received).subarray(0, 45)).toEqual(login.serverKeyFrame)
  expect(m.take()).toEqual(['PeerPresent alice 203.0.113.7:41641 flags 1'])
  expect(relay.count('clientsHome')).toBe(1)

  a.send(disco.sendPacket)
  expect(a.take()).toEqual(['PeerGone bob not here'])
  expect(a.received.at(-1)).toEqual(frames.peerGoneNotHere)

  a.send(frames.sendPacket)
  expect(a.take()).toEqual([])
  expect(relay.drops).toEqual({ 'unknown_dest data': 1, 'unknown_dest disco': 1 })

  const b = relay.connect(bob, { ip: '203.0.113.8', port: 50_002 })
  b.send(login.proberInfo.frame)
  expect(b.take()).toEqual(greeting)
  expect(m.take()).toEqual(['PeerPresent bob 203.0.113.8:50002 flags 4'])

  a.send(frames.sendPacket)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect(b.received.at(-1)).toEqual(frames.recvPacket)

  m.send(frames.forwardPacket)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect(b.received.at(-1)).toEqual(frames.recvPacket)

  a.send(frames.ping)
  a.take()
  expect(a.received.at(-1)).toEqual(frames.pong)

  a.hangUp()
  expect(m.take()).toEqual(['PeerGone alice disconnected'])
  expect(b.take()).toEqual(['PeerGone alice disconnected'])
  expect(b.received.at(-1)).toEqual(frames.peerGoneDisconnected)

  m.send(frames.closePeer)
  expect(m.take()).toEqual(['PeerGone bob disconnected'])
  expect(b.isClosed).toBe(true)
  expect(b.take()).toEqual([])
  expect(m.isClosed).toBe(false)
})

it('PeerPresent has 32 B key, 16 B address, 2 B port, 1 B flags, and an app name that may be empty', () => {
  const relay = new TestRelay()
  const m = relay.joinSibling(sibling).send(frames.watchConns)
  m.take()
  relay.join(alice, { ip: '203.0.113.7', port: 41_641 })
  m.take()
  const noName = Buffer.from([0])
  const payload = Buffer.concat([frames.peerPresentRegular.subarray(5), noName])
  expect(m.received.at(-1)).toEqual(Buffer.concat([Buffer.from([9, 0, 0, 0, 52]), payload]))
})

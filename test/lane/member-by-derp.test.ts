// A member of the lane whose key is also connected to the relay by DERP, as a host with a bridge is: which way others reach it.

import { beforeEach, expect, it } from 'vitest'
import type { AddressedPacket, ThreadListener } from '#relay/ports.ts'
import { SingleThread } from '#relay/single-thread.ts'
import { MemoryLane, MemoryPeer, transport } from '../support/memory-lane.ts'

/** One relay thread, as the lane sees it. */
class OneThread extends SingleThread {
  listener: ThreadListener | undefined = undefined
  readonly packets: Buffer[] = []

  override connect(listener?: ThreadListener): void {
    this.listener = listener
  }

  override sendPacket(_thread = 0, _to?: Uint8Array, _from?: Uint8Array, packet?: AddressedPacket): boolean {
    if (packet !== undefined)
      this.packets.push(Buffer.from(packet.buffer.subarray(packet.packetAt, packet.end)))
    return true
  }
}

let lane: MemoryLane
let threads: OneThread
let alice: MemoryPeer
let bob: MemoryPeer

beforeEach(() => {
  threads = new OneThread()
  lane = new MemoryLane(undefined, threads)
  alice = new MemoryPeer(lane, '203.0.113.1', 1_001)
  bob = new MemoryPeer(lane, '203.0.113.2', 1_002)
  lane.useRoster(`${alice.text} alice\n${bob.text} bob alice\n`)
  threads.listener?.presence.syncStarted(0)
  threads.listener?.presence.syncFinished(0)
})

function connectAlice(): void {
  threads.listener?.presence.peerPresent(0, alice.key.publicKey, new Uint8Array(0), threads.nextActivity())
}

function aliceSendsByDerp(message: Buffer): void {
  const buffer = Buffer.concat([bob.key.publicKey, alice.key.publicKey, message])
  threads.listener?.packets.fromThread(buffer, 0, buffer.length, false)
}

function response(sender: number, receiver: number): Buffer {
  const message = Buffer.alloc(92)
  message[0] = 2
  message.writeUInt32LE(sender, 4)
  message.writeUInt32LE(receiver, 8)
  return message
}

/** Alice and bob have a session: bob receives by 22, alice by 11. */
function meetByDerp(): void {
  bob.register()
  connectAlice()
  aliceSendsByDerp(alice.initiation(bob.key.publicKey, 11))
  bob.send(response(22, 11))
  lane.take()
}

it('by DERP alone, and sessions are known after a restart', () => {
  meetByDerp()
  aliceSendsByDerp(transport(22))
  expect(lane.take()).toMatchObject([{ host: '203.0.113.2' }])
  const before = threads.packets.length
  bob.send(transport(11))
  expect(threads.packets.length).toBe(before + 1)
  const text = lane.lane.stateText()
  const later = new OneThread()
  const next = new MemoryLane(lane.own, later)
  next.wallAheadMs = lane.wallMs - next.nowMs
  next.useRoster(`${alice.text} alice\n${bob.text} bob alice\n`)
  later.listener?.presence.syncStarted(0)
  next.lane.restore(text)
  next.lane.receive(transport(11), bob.host, bob.port)
  expect(next.count('dropUnknownIndex')).toBe(0)
  expect(later.packets).toHaveLength(1)
})

it('a connection alone, its keepalives and what bridges tell each other do not take packets off the lane', () => {
  meetByDerp()
  alice.register()
  threads.listener?.presence.peerActive(0, alice.key.publicKey, threads.nextActivity())
  aliceSendsByDerp(Buffer.from(`DFB1${'x'.repeat(200)}`))
  lane.take()
  bob.send(transport(11))
  expect(lane.take()).toMatchObject([{ host: '203.0.113.1' }])
})

it('packets follow the way of its own, and back when it has answered by UDP', () => {
  meetByDerp()
  alice.register()
  aliceSendsByDerp(transport(22))
  lane.take()
  const byDerp = (): number => {
    const before = threads.packets.length
    bob.send(transport(11))
    return threads.packets.length - before
  }
  expect(byDerp()).toBe(1)
  // One that arrives by UDP proves nothing yet: the lane asks.
  alice.send(transport(22))
  const [probe] = lane.take()
  expect(probe?.message.readUInt32LE()).toBe(1)
  expect(byDerp()).toBe(1)
  expect(probe && alice.answer(probe.message)).toBe(true)
  lane.take()
  expect(byDerp()).toBe(0)
  expect(lane.take()).toMatchObject([{ host: '203.0.113.1' }])
})

it('a keepalive, which shows one direction alone, makes the lane ask', () => {
  meetByDerp()
  alice.register()
  aliceSendsByDerp(transport(22))
  lane.take()
  alice.send(alice.keepalive())
  expect(lane.take().map(({ message }) => message.readUInt32LE())).toEqual([1])
})

it('who misses keepalives on the lane is reached by DERP before it is given up', () => {
  meetByDerp()
  alice.register()
  bob.register()
  lane.pass(40_000)
  bob.register()
  lane.pass(30_000)
  lane.take()
  const before = threads.packets.length
  bob.send(transport(11))
  expect(threads.packets.length).toBe(before + 1)
})

// A drain of a relay of two threads: packets for a client that leaves one thread, wherever they are at that moment. Both
// threads without sockets, under a clock that the test moves.

import { expect, it } from 'vitest'
import { forwardPacketFrame } from '#protocol/frames.ts'
import type { AddressedPacket, ForwardTarget, Routes } from '#relay/ports.ts'
import { actor, alice, bob, nameOf, type Actor } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'

/** A sibling that notes what is forwarded to it. */
class NotingSibling implements ForwardTarget {
  readonly isDraining = false
  readonly lines: string[] = []

  forward({ buffer, packetAt, end }: AddressedPacket, sourceKey: Uint8Array): void {
    this.lines.push(packetLine(actor(nameOf(sourceKey)), Buffer.from(buffer.subarray(packetAt, end))))
  }
}

class DrainingThreads extends TestRelay {
  readonly sibling: NotingSibling
  #atSibling: Uint8Array | undefined = undefined

  constructor() {
    const sibling = new NotingSibling()
    const routes: Routes = {
      find: (bytes, at) => {
        const key = this.#atSibling
        return key !== undefined && Buffer.compare(bytes.subarray(at, at + 32), key) === 0
          ? sibling
          : undefined
      },
      lookUp: () => false,
      size: 0,
    }
    super({ threads: 2, routes })
    this.sibling = sibling
  }

  begin(): void {
    for (const { relay } of this.threads) relay.drain({ settleMs: 0, spreadMs: 0 }, () => undefined)
    this.settle()
  }

  /** The client has come back at the sibling. */
  cameBack({ key }: Actor): void {
    this.#atSibling = key
    for (const { relay } of this.threads) relay.routeListener.routeChanged(key, 0, this.sibling)
    this.settle()
  }
}

it('what a client of another thread sends is held there, and sent to the sibling where the destination is back', () => {
  const relay = new DrainingThreads()
  const b = relay.join(bob, { thread: 0 })
  const a = relay.join(alice, { thread: 1 })
  b.sendPacket(alice, Buffer.from('before'))
  expect(a.take()).toEqual([packetLine(bob, Buffer.from('before'))])
  relay.begin()
  relay.pass(125)
  expect(a.link.isFinished).toBe(true)
  b.sendPacket(alice, Buffer.from('held')).settled()
  expect([relay.sibling.lines, relay.count('handOffHeld')]).toEqual([[], 1])
  relay.cameBack(alice)
  b.sendPacket(alice, Buffer.from('after')).settled()
  const sent = ['held', 'after'].map((text) => packetLine(bob, Buffer.from(text)))
  expect([relay.sibling.lines, relay.drops]).toEqual([sent, {}])
})

it('what is on its way between the threads is held, unless a sibling forwarded it', () => {
  const relay = new DrainingThreads()
  const b = relay.join(bob, { thread: 0 })
  const s = relay.joinSibling(actor('sibling'), { thread: 0 })
  const a = relay.join(alice, { thread: 1 })
  relay.begin()
  relay.clock.advance(50)
  relay.settle()
  relay.thread(1).isStuck = true
  b.sendPacket(alice, Buffer.from('ours')).settled()
  s.send(forwardPacketFrame(bob.key, alice.key, Buffer.from('forwarded'))).settled()
  expect(relay.count('sentToThreads')).toBe(2)
  relay.clock.advance(100)
  relay.thread(1).isStuck = false
  relay.settle()
  expect(a.link.isFinished).toBe(true)
  relay.cameBack(alice)
  expect(relay.sibling.lines).toEqual([packetLine(bob, Buffer.from('ours'))])
  expect(relay.drops).toEqual({ 'gone_disconnected data': 1 })
})

it('a client that comes back to the other thread gets what was held for it, and its new sessions are moved as well', () => {
  const relay = new DrainingThreads()
  const b = relay.join(bob, { thread: 0 })
  const a = relay.join(alice, { thread: 1 })
  b.sendPacket(alice, Buffer.from('before')).settled()
  relay.begin()
  relay.pass(125)
  b.sendPacket(alice, Buffer.from('held')).settled()
  a.hangUp()
  const again = relay.join(alice, { thread: 0 })
  again.link.isStalled = false
  expect(relay.count('handOffSent')).toBe(1)
  relay.pass(250)
  expect(again.link.isFinished).toBe(true)
  expect(relay.drops).toEqual({})
})

it("a thread tells the other threads' siblings that its client is about to leave", () => {
  const relay = new DrainingThreads()
  const s = relay.connect(actor('west'), { thread: 0 }).logIn({ meshKey, wantsInstance: true })
  relay.join(alice, { thread: 1 })
  s.send(frames.watchConns).take()
  relay.begin()
  expect(s.take()).toEqual(['Restarting 2200 ms, 0 ms', 'PeerGone alice disconnected'])
})

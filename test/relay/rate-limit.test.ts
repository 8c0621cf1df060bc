import { expect, it } from 'vitest'
import type { FrameType } from '#protocol/frame-type.ts'
import { forwardPacketFrame, sendPacketFrame } from '#protocol/frames.ts'
import { frame } from '#protocol/handshake.ts'
import { alice, bob, cathy, sibling } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames } from '../vectors/frames.ts'

const bytesPerSecond = 100_000
const rate = { bytesPerSecond, burstBytes: 65_568 }

/** A packet that is charged 1,000 bytes. */
const numbered = (n: number): Buffer => Buffer.alloc(968, `${n} `)

it.each([1, 7, 100])(
  'a client over its rate is served at that rate, and nothing is lost (%i frames in a piece)',
  (inPiece) => {
    const relay = new TestRelay({ limits: { rate, outboxBytesMax: Infinity } })
    const [a, b] = [relay.join(alice), relay.join(bob)]
    const count = 700
    for (let n = 0; n < count; n += inPiece) {
      const piece = Array.from({ length: Math.min(inPiece, count - n) }, (_, i) => numbered(n + i))
      a.send(...piece.map((one) => sendPacketFrame(bob.key, one)))
    }
    const arrived = b.take()
    // The burst, and the frame that overdraws it.
    expect(arrived.length).toBe(66)
    for (let second = 1; second <= 6; second++) {
      relay.pass(1_000)
      arrived.push(...b.take())
      expect(Math.abs(arrived.length - 66 - 100 * second)).toBeLessThanOrEqual(1)
    }
    relay.pass(1_000)
    arrived.push(...b.take())
    expect(arrived).toEqual(Array.from({ length: count }, (_, n) => packetLine(alice, numbered(n))))
    expect(relay.count('rateLimitWaits')).toBeGreaterThan(0)
    expect(a.link.isPaused).toBe(false)
  },
)

it('a client over its rate is paused at the link, so that its bytes wait in the system', () => {
  const relay = new TestRelay({ limits: { rate } })
  const a = relay.join(alice)
  relay.join(bob)
  for (let n = 0; n < 66; n++) a.sendPacket(bob, numbered(n))
  expect(a.link.isPaused).toBe(true)
  relay.pass(1_000)
  expect(a.link.isPaused).toBe(false)
})

it('frames that are skipped are charged like others, and none is charged more than the largest packet', () => {
  const relay = new TestRelay({ limits: { rate } })
  const a = relay.join(alice)
  const unknown = frame(0x7e as FrameType, Buffer.alloc(65_568))
  a.send(unknown, unknown)
  a.settled()
  expect(a.link.isPaused).toBe(true)
  relay.pass(600)
  expect(a.link.isPaused).toBe(true)
  relay.pass(100)
  expect(a.link.isPaused).toBe(false)
})

it('a client over its rate does not slow others', () => {
  const relay = new TestRelay({ limits: { rate } })
  const [a, b, c] = [relay.join(alice), relay.join(bob), relay.join(cathy)]
  for (let n = 0; n < 200; n++) a.sendPacket(bob, numbered(n))
  b.take()
  c.sendPacket(bob, numbered(7))
  expect(b.take()).toEqual([packetLine(cathy, numbered(7))])
})

it('siblings have no rate limit', () => {
  const relay = new TestRelay({ limits: { rate, outboxBytesMax: Infinity } })
  const m = relay.joinSibling(sibling)
  const b = relay.join(bob)
  for (let n = 0; n < 1_000; n++) m.send(forwardPacketFrame(alice.key, bob.key, numbered(n)))
  expect(b.take().length).toBe(1_000)
})

it('a client that leaves while it is paused leaves nothing behind', () => {
  const relay = new TestRelay({ limits: { rate } })
  const a = relay.join(alice)
  relay.join(bob)
  a.send(
    ...Array.from({ length: 100 }, () => frames.ping),
    ...Array.from({ length: 200 }, (_, n) => sendPacketFrame(bob.key, numbered(n))),
  )
  a.hangUp()
  const received = relay.count('receivedData')
  relay.pass(5_000)
  expect(relay.count('receivedData')).toBe(received)
  expect(relay.clock.waiting).toBe(0)
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})

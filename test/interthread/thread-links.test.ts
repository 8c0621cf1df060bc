// Frames between threads over real rings: what one thread announces and sends is what the other's listener is told.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { peerPresentFrame } from '#protocol/frames.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { ringMemory } from '#interthread/ring.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import { Wakeup } from '#interthread/wakeup.ts'
import { Packet } from '#relay/packet.ts'
import type { ConnectedKey, RemotePresenceListener, ThreadPacketListener } from '#relay/ports.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'
import { actor, alice, bob, cathy } from '../support/actor.ts'
import { packet } from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'

/** Writes down what it is told. */
class Listener implements RemotePresenceListener, ThreadPacketListener {
  readonly lines: string[] = []
  onPacket: () => void = () => undefined

  peerPresent(thread: number, key: Uint8Array, presentFrame: Uint8Array, activity: number): void {
    this.lines.push(`${thread} present ${toHex(key)} ${toHex(presentFrame)} ${activity}`)
  }

  peerActive(thread: number, key: Uint8Array, activity: number): void {
    this.lines.push(`${thread} active ${toHex(key)} ${activity}`)
  }

  peerGone(thread: number, key: Uint8Array): void {
    this.lines.push(`${thread} gone ${toHex(key)}`)
  }

  homeChanged(thread: number, key: Uint8Array, isHome: boolean): void {
    this.lines.push(`${thread} ${isHome ? 'home' : 'no home'} ${toHex(key)}`)
  }

  syncStarted(thread: number): void {
    this.lines.push(`${thread} sync started`)
  }

  syncFinished(thread: number): void {
    this.lines.push(`${thread} sync finished`)
  }

  threadEnded(): void {}

  peerLeaving(key: Uint8Array): void {
    this.lines.push(`leaving ${toHex(key)}`)
  }

  closePeer(key: Uint8Array): void {
    this.lines.push(`close ${toHex(key)}`)
  }

  connectedKeys(): readonly ConnectedKey[] {
    return []
  }

  fromThread(buffer: Buffer, start: number, end: number): void {
    this.lines.push(`packet ${sha256(buffer.subarray(start, end)).toString('hex')}`)
    buffer.fill(0xaa, start - 5, end)
    this.onPacket()
  }

  lostWithThread(): void {}
}

interface TestThread {
  readonly wakeup: SharedArrayBuffer
  readonly threadLinks: ThreadLinks
  readonly listener: Listener
  /** How often it asked for the end of a turn. */
  turnCount: number
}

/** The threads of one relay, all linked with each other. */
function startThreads(count: number): TestThread[] {
  const memories = new ThreadMemories()
  const all: TestThread[] = []
  for (let index = 0; index < count; index++) {
    const { memory, others } = memories.join(index)
    const listener = new Listener()
    const threadLinks = new ThreadLinks(memory, () => 0)
    const one: TestThread = { wakeup: memory.wakeup, threadLinks, listener, turnCount: 0 }
    threadLinks.connect({
      presence: listener,
      packets: listener,
      readThreads: () => undefined,
      wake: () => void one.turnCount++,
    })
    all.push(one)
    for (const { to, link } of others) all[to]?.threadLinks.link(link)
  }
  return all
}

function startTwo(): [TestThread, TestThread] {
  return startThreads(2) as [TestThread, TestThread]
}

/** A packet as it arrived from a client: destination key, then the packet. */
function arrived(destination: Uint8Array, bytes: Uint8Array): Packet {
  const buffer = Buffer.concat([Buffer.alloc(5), destination, bytes])
  const lying = new Packet()
  lying.set(buffer, 5, 37, buffer.length)
  return lying
}

function presence(key: Uint8Array, appName: string): Uint8Array {
  return peerPresentFrame({ key, ip: ipToBytes('203.0.113.7'), port: 443, flags: 1, appName })
}

type Message =
  | {
      readonly kind: 'present' | 'active' | 'gone' | 'close'
      readonly key: number
      readonly activity: number
    }
  | { readonly kind: 'packet'; readonly key: number; readonly bytes: number; readonly seed: number }

const someMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('present' as const, 'active' as const, 'gone' as const, 'close' as const),
    key: fc.nat(5),
    activity: fc.integer(),
  }),
  fc.record({
    kind: fc.constant('packet' as const),
    key: fc.nat(5),
    bytes: fc.oneof(fc.nat(2_000), fc.constant(65_536)),
    seed: fc.integer(),
  }),
)

/** Sends a message, and returns what the other thread should be told; undefined if it was refused. */
function send(from: ThreadLinks, message: Message): string | undefined {
  const { key } = actor(`peer ${message.key}`)
  switch (message.kind) {
    case 'present': {
      const frame = presence(key, `app ${message.key}`)
      from.present(frame, message.activity)
      return `0 present ${toHex(key)} ${toHex(frame)} ${message.activity}`
    }
    case 'active':
      from.active(key, message.activity)
      return `0 active ${toHex(key)} ${message.activity}`
    case 'gone':
      from.gone(key)
      return `0 gone ${toHex(key)}`
    case 'close':
      from.closePeer(key)
      return `close ${toHex(key)}`
    case 'packet': {
      const bytes = bytesFrom(message.seed, message.bytes)
      if (!from.sendPacket(1, key, alice.key, arrived(key, bytes))) return undefined
      return `packet ${sha256(Buffer.concat([key, alice.key, bytes])).toString('hex')}`
    }
  }
}

it('a thread is told everything that another one sends, intact and in order, however rarely it reads', () => {
  const someSteps = fc.array(
    fc.oneof({ weight: 12, arbitrary: someMessage }, fc.constantFrom('drain', 'flush')),
    {
      maxLength: 150,
    },
  )
  fc.assert(
    fc.property(someSteps, (steps) => {
      const [from, to] = startTwo()
      const expected: string[] = []
      let refusedCount = 0
      for (const step of steps) {
        if (step === 'drain') to.threadLinks.drain()
        else if (step === 'flush') from.threadLinks.flush()
        else {
          const line = send(from.threadLinks, step)
          if (line === undefined) refusedCount++
          else expected.push(line)
        }
      }
      for (let round = 0; round < 3; round++) {
        from.threadLinks.flush()
        to.threadLinks.drain()
      }
      expect(to.listener.lines).toEqual(expected)
      // Sixteen of the largest packets fit between two reads.
      const packetCount = steps.filter((step) => typeof step !== 'string' && step.kind === 'packet').length
      if (packetCount < 16) expect(refusedCount).toBe(0)
    }),
    { numRuns: 100 },
  )
})

/** Fills the ring with packets until no more fits; returns how many there are. */
function fill(from: ThreadLinks): number {
  let count = 0
  while (from.sendPacket(1, bob.key, alice.key, arrived(bob.key, Buffer.alloc(60_000)))) count++
  while (from.sendPacket(1, bob.key, alice.key, arrived(bob.key, Buffer.alloc(0)))) count++
  return count
}

it('presence frames that do not fit wait, and no packet overtakes them', () => {
  const [from, to] = startTwo()
  const packets = fill(from.threadLinks)
  const messages = Array.from({ length: 300 }, (_, n): Message => ({
    kind: 'present',
    key: n % 6,
    activity: n,
  }))
  const expected = messages.map((message) => send(from.threadLinks, message))
  expect(from.threadLinks.hasBacklog).toBe(true)
  to.threadLinks.drain()
  expect(to.listener.lines.length).toBe(packets)
  // There is room now, but the presence frames go first.
  expect(from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))).toBe(false)
  from.threadLinks.flush()
  expect(from.threadLinks.hasBacklog).toBe(false)
  expect(from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))).toBe(true)
  to.threadLinks.drain()
  expect(to.listener.lines.slice(packets, -1)).toEqual(expected)
  expect(to.listener.lines.at(-1)).toMatch(/^packet/)
})

it('a thread that does not read keeps no presence frames from the others', () => {
  const [from, stuck, other] = startThreads(3) as [TestThread, TestThread, TestThread]
  const packets = fill(from.threadLinks)
  from.threadLinks.gone(cathy.key)
  other.threadLinks.drain()
  expect(other.listener.lines).toEqual([`0 gone ${toHex(cathy.key)}`])
  stuck.threadLinks.drain()
  expect(stuck.listener.lines.length).toBe(packets)
})

it('a thread is woken once for everything that was written in a turn, and not when nothing was', () => {
  const [from, to] = startTwo()
  const wakes = (): number => to.threadLinks.wakeup.count()
  from.threadLinks.flush()
  expect([from.turnCount, wakes()]).toEqual([0, 0])
  from.threadLinks.gone(alice.key)
  from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))
  from.threadLinks.gone(bob.key)
  expect([from.turnCount, wakes()]).toEqual([1, 0])
  from.threadLinks.flush()
  from.threadLinks.flush()
  expect([from.turnCount, wakes()]).toEqual([1, 1])
  to.threadLinks.drain()
  expect(to.threadLinks.fallAsleep()).toBe(true)
  from.threadLinks.gone(alice.key)
  from.threadLinks.flush()
  expect([from.turnCount, wakes()]).toEqual([2, 2])
})

it('a thread at work is not woken, and does not fall asleep when something was written meanwhile', () => {
  const [from, to] = startTwo()
  const write = (): void => {
    from.threadLinks.gone(alice.key)
    from.threadLinks.flush()
  }
  to.threadLinks.drain()
  expect(to.turnCount).toBe(1)
  write()
  expect(to.threadLinks.wakeup.count()).toBe(0)
  expect(to.threadLinks.fallAsleep()).toBe(false)
  expect(to.turnCount).toBe(2)
  to.threadLinks.drain()
  expect(to.listener.lines.length).toBe(1)
  expect(to.threadLinks.fallAsleep()).toBe(true)
  write()
  expect(to.threadLinks.wakeup.count()).toBe(1)
})

it('a thread that polls is woken for urgent frames only, whatever threads come and go, until it stops polling', () => {
  const [from, to] = startTwo()
  const isWoken = (): boolean => {
    to.threadLinks.drain()
    expect(to.threadLinks.fallAsleep()).toBe(true)
    const wakes = to.threadLinks.wakeup.count()
    from.threadLinks.isInRound = true
    from.threadLinks.gone(alice.key)
    from.threadLinks.flush()
    from.threadLinks.isInRound = false
    return to.threadLinks.wakeup.count() > wakes
  }
  expect(isWoken()).toBe(true)
  to.threadLinks.setPolling(true)
  expect(isWoken()).toBe(false)
  // Neither the start nor the end of polling is lost while there is no other thread.
  for (const isPolling of [false, true]) {
    to.threadLinks.threadEnded(0)
    to.threadLinks.setPolling(isPolling)
    const back = { outgoing: ringMemory(), incoming: ringMemory() }
    to.threadLinks.link({ thread: 0, wakeup: Wakeup.memory(), ...back })
    from.threadLinks.threadEnded(1)
    from.threadLinks.link({
      thread: 1,
      wakeup: to.wakeup,
      outgoing: back.incoming,
      incoming: back.outgoing,
    })
    expect(isWoken()).toBe(!isPolling)
  }
})

it('presence frames for a thread that never reads are bounded, and a full sync follows when it does', () => {
  const [from, to] = startTwo()
  const messages = 200_000
  for (let n = 0; n < messages; n++) from.threadLinks.gone(alice.key)
  expect(from.threadLinks.hasBacklog).toBe(true)
  for (let round = 0; round < 100; round++) {
    to.threadLinks.drain()
    from.threadLinks.flush()
  }
  expect(from.threadLinks.hasBacklog).toBe(false)
  const { lines } = to.listener
  const inRing = Math.floor(1_048_576 / 37)
  expect(lines.length).toBeLessThan(inRing + 16_384 + 10)
  expect(lines.slice(-2)).toEqual(['0 sync started', '0 sync finished'])
  // Then as before.
  from.threadLinks.gone(bob.key)
  to.threadLinks.drain()
  expect(lines.at(-1)).toBe(`0 gone ${toHex(bob.key)}`)
})

it('draining while draining does nothing', () => {
  const [from, to] = startTwo()
  const inner: boolean[] = []
  to.listener.onPacket = () => inner.push(to.threadLinks.drain(), to.threadLinks.isDraining)
  from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))
  from.threadLinks.sendPacket(1, cathy.key, alice.key, arrived(cathy.key, packet))
  expect(to.threadLinks.drain()).toBe(true)
  expect(inner).toEqual([false, true, false, true])
  expect(to.listener.lines.length).toBe(2)
  expect(to.threadLinks.isDraining).toBe(false)
})

it('all threads share one count of activity', () => {
  const all = startThreads(3)
  const numbers = [0, 1, 2, 1, 0].map((thread) => all[thread]?.threadLinks.nextActivity())
  expect(numbers).toEqual([1, 2, 3, 4, 5])
})

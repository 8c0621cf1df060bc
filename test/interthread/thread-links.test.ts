import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { peerPresentFrame } from '#protocol/frames.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { Wakeup, ringMemory } from '#interthread/ring.ts'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import type { ThreadEvents } from '#interthread/thread-frames.ts'
import { Packet } from '#relay/packet.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'
import { actor, alice, bob, cathy } from '../support/actor.ts'
import { packet } from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'

/** Writes down what it hears. */
class Listener implements ThreadEvents {
  readonly heard: string[] = []
  onPacket: () => void = () => undefined

  presentElsewhere(thread: number, key: Uint8Array, presentFrame: Uint8Array, claim: number): void {
    this.heard.push(`${thread} present ${toHex(key)} ${toHex(presentFrame)} ${claim}`)
  }

  claimedElsewhere(thread: number, key: Uint8Array, claim: number): void {
    this.heard.push(`${thread} claim ${toHex(key)} ${claim}`)
  }

  goneElsewhere(thread: number, key: Uint8Array): void {
    this.heard.push(`${thread} gone ${toHex(key)}`)
  }

  homeElsewhere(thread: number, key: Uint8Array, isHome: boolean): void {
    this.heard.push(`${thread} ${isHome ? 'home' : 'no home'} ${toHex(key)}`)
  }

  introducing(thread: number): void {
    this.heard.push(`${thread} introducing`)
  }

  introduced(thread: number): void {
    this.heard.push(`${thread} introduced`)
  }

  closePeer(key: Uint8Array): void {
    this.heard.push(`close ${toHex(key)}`)
  }

  packet(buffer: Buffer, start: number, end: number): void {
    this.heard.push(`packet ${sha256(buffer.subarray(start, end)).toString('hex')}`)
    buffer.fill(0xaa, start - 5, end)
    this.onPacket()
  }
}

interface Neighbour {
  readonly wakeup: SharedArrayBuffer
  readonly threadLinks: ThreadLinks
  readonly listener: Listener
  wakes: number
}

function neighbourhood(count: number): Neighbour[] {
  const neighbourhood = new ThreadMemories()
  const all: Neighbour[] = []
  for (let index = 0; index < count; index++) {
    const { memory, news } = neighbourhood.join(index)
    const listener = new Listener()
    const wake = (): void => void one.wakes++
    const threadLinks = new ThreadLinks(memory, {
      listener: () => listener,
      everybody: () => [],
      wake,
      now: () => 0,
    })
    const one: Neighbour = { wakeup: memory.wakeup, threadLinks, listener, wakes: 0 }
    all.push(one)
    for (const { to, link } of news) all[to]?.threadLinks.link(link)
  }
  return all
}

/** The two ends of a neighbourhood of two. */
function pair(): [Neighbour, Neighbour] {
  return neighbourhood(2) as [Neighbour, Neighbour]
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

type Saying =
  | { readonly kind: 'present' | 'claim' | 'gone' | 'close'; readonly who: number; readonly claim: number }
  | { readonly kind: 'packet'; readonly who: number; readonly bytes: number; readonly seed: number }

const someSaying: fc.Arbitrary<Saying> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('present' as const, 'claim' as const, 'gone' as const, 'close' as const),
    who: fc.nat(5),
    claim: fc.integer(),
  }),
  fc.record({
    kind: fc.constant('packet' as const),
    who: fc.nat(5),
    bytes: fc.oneof(fc.nat(2_000), fc.constant(65_536)),
    seed: fc.integer(),
  }),
)

/** Says something, and returns what the other should hear; undefined if it was refused. */
function say(from: ThreadLinks, saying: Saying): string | undefined {
  const key = actor(`neighbour ${saying.who}`).key
  switch (saying.kind) {
    case 'present': {
      const frame = presence(key, `app ${saying.who}`)
      from.present(frame, saying.claim)
      return `0 present ${toHex(key)} ${toHex(frame)} ${saying.claim}`
    }
    case 'claim':
      from.claim(key, saying.claim)
      return `0 claim ${toHex(key)} ${saying.claim}`
    case 'gone':
      from.gone(key)
      return `0 gone ${toHex(key)}`
    case 'close':
      from.closePeer(key)
      return `close ${toHex(key)}`
    case 'packet': {
      const bytes = bytesFrom(saying.seed, saying.bytes)
      if (!from.sendPacket(1, key, alice.key, arrived(key, bytes))) return undefined
      return `packet ${sha256(Buffer.concat([key, alice.key, bytes])).toString('hex')}`
    }
  }
}

it('all that one says the other hears, intact and in order, however rarely it listens', () => {
  const someSteps = fc.array(
    fc.oneof({ weight: 12, arbitrary: someSaying }, fc.constantFrom('drain', 'flush')),
    {
      maxLength: 150,
    },
  )
  fc.assert(
    fc.property(someSteps, (steps) => {
      const [from, to] = pair()
      const expected: string[] = []
      let refusedCount = 0
      for (const step of steps) {
        if (step === 'drain') to.threadLinks.drain()
        else if (step === 'flush') from.threadLinks.flush()
        else {
          const line = say(from.threadLinks, step)
          if (line === undefined) refusedCount++
          else expected.push(line)
        }
      }
      for (let round = 0; round < 3; round++) {
        from.threadLinks.flush()
        to.threadLinks.drain()
      }
      expect(to.listener.heard).toEqual(expected)
      // Sixteen of the largest packets fit between two times of listening.
      const packetCount = steps.filter((step) => typeof step !== 'string' && step.kind === 'packet').length
      if (packetCount < 16) expect(refusedCount).toBe(0)
    }),
    { numRuns: 100 },
  )
})

/** Fills the crossing with packets until no more is taken; how many there are. */
function fill(from: ThreadLinks): number {
  let count = 0
  while (from.sendPacket(1, bob.key, alice.key, arrived(bob.key, Buffer.alloc(60_000)))) count++
  while (from.sendPacket(1, bob.key, alice.key, arrived(bob.key, Buffer.alloc(0)))) count++
  return count
}

it('news that does not fit waits, and no packet overtakes it', () => {
  const [from, to] = pair()
  const packets = fill(from.threadLinks)
  const news = Array.from({ length: 300 }, (_, n): Saying => ({ kind: 'present', who: n % 6, claim: n }))
  const expected = news.map((saying) => say(from.threadLinks, saying))
  expect(from.threadLinks.hasBacklog).toBe(true)
  to.threadLinks.drain()
  expect(to.listener.heard.length).toBe(packets)
  // There is room now, but what was said first goes first.
  expect(from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))).toBe(false)
  from.threadLinks.flush()
  expect(from.threadLinks.hasBacklog).toBe(false)
  expect(from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))).toBe(true)
  to.threadLinks.drain()
  expect(to.listener.heard.slice(packets, -1)).toEqual(expected)
  expect(to.listener.heard.at(-1)).toMatch(/^packet/)
})

it('one neighbour that does not listen keeps no news from the others', () => {
  const [from, deaf, other] = neighbourhood(3) as [Neighbour, Neighbour, Neighbour]
  const packets = fill(from.threadLinks)
  from.threadLinks.gone(cathy.key)
  other.threadLinks.drain()
  expect(other.listener.heard).toEqual([`0 gone ${toHex(cathy.key)}`])
  deaf.threadLinks.drain()
  expect(deaf.listener.heard.length).toBe(packets)
})

it('the wakeup rings once for all that was said in a turn, and not when nothing was', () => {
  const [from, to] = pair()
  const rings = (): number => to.threadLinks.wakeup.count()
  from.threadLinks.flush()
  expect([from.wakes, rings()]).toEqual([0, 0])
  from.threadLinks.gone(alice.key)
  from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))
  from.threadLinks.gone(bob.key)
  expect([from.wakes, rings()]).toEqual([1, 0])
  from.threadLinks.flush()
  from.threadLinks.flush()
  expect([from.wakes, rings()]).toEqual([1, 1])
  to.threadLinks.drain()
  expect(to.threadLinks.fallAsleep()).toBe(true)
  from.threadLinks.gone(alice.key)
  from.threadLinks.flush()
  expect([from.wakes, rings()]).toEqual([2, 2])
})

it('the wakeup does not ring for who is at work, and who has been written to meanwhile does not fall asleep', () => {
  const [from, to] = pair()
  const speak = (): void => {
    from.threadLinks.gone(alice.key)
    from.threadLinks.flush()
  }
  to.threadLinks.drain()
  expect(to.wakes).toBe(1)
  speak()
  expect(to.threadLinks.wakeup.count()).toBe(0)
  expect(to.threadLinks.fallAsleep()).toBe(false)
  expect(to.wakes).toBe(2)
  to.threadLinks.drain()
  expect(to.listener.heard.length).toBe(1)
  expect(to.threadLinks.fallAsleep()).toBe(true)
  speak()
  expect(to.threadLinks.wakeup.count()).toBe(1)
})

it('who looks by itself each millisecond is not rung for, from its first neighbour on, and is again when it stops', () => {
  const [from, to] = pair()
  const isRungFor = (): boolean => {
    to.threadLinks.drain()
    expect(to.threadLinks.fallAsleep()).toBe(true)
    const rings = to.threadLinks.wakeup.count()
    from.threadLinks.isInRound = true
    from.threadLinks.gone(alice.key)
    from.threadLinks.flush()
    from.threadLinks.isInRound = false
    return to.threadLinks.wakeup.count() > rings
  }
  expect(isRungFor()).toBe(true)
  to.threadLinks.setPolling(true)
  expect(isRungFor()).toBe(false)
  // Neither the beginning nor the end of it is lost while there is no neighbour.
  for (const isPolling of [false, true]) {
    to.threadLinks.unlink(0, () => undefined)
    to.threadLinks.setPolling(isPolling)
    const back = { outgoing: ringMemory(), incoming: ringMemory() }
    to.threadLinks.link({ thread: 0, wakeup: Wakeup.memory(), ...back })
    from.threadLinks.unlink(1, () => undefined)
    from.threadLinks.link({
      thread: 1,
      wakeup: to.wakeup,
      outgoing: back.incoming,
      incoming: back.outgoing,
    })
    expect(isRungFor()).toBe(!isPolling)
  }
})

it('news for one that never listens is bounded, and who is here is told when it does', () => {
  const [from, to] = pair()
  const sayings = 200_000
  for (let n = 0; n < sayings; n++) from.threadLinks.gone(alice.key)
  expect(from.threadLinks.hasBacklog).toBe(true)
  for (let round = 0; round < 100; round++) {
    to.threadLinks.drain()
    from.threadLinks.flush()
  }
  expect(from.threadLinks.hasBacklog).toBe(false)
  const { heard } = to.listener
  const inCrossing = Math.floor(1_048_576 / 37)
  expect(heard.length).toBeLessThan(inCrossing + 16_384 + 10)
  expect(heard.slice(-2)).toEqual(['0 introducing', '0 introduced'])
  // And then as before.
  from.threadLinks.gone(bob.key)
  to.threadLinks.drain()
  expect(heard.at(-1)).toBe(`0 gone ${toHex(bob.key)}`)
})

it('listening while listening does nothing', () => {
  const [from, to] = pair()
  const inner: boolean[] = []
  to.listener.onPacket = () => inner.push(to.threadLinks.drain(), to.threadLinks.isDraining)
  from.threadLinks.sendPacket(1, bob.key, alice.key, arrived(bob.key, packet))
  from.threadLinks.sendPacket(1, cathy.key, alice.key, arrived(cathy.key, packet))
  expect(to.threadLinks.drain()).toBe(true)
  expect(inner).toEqual([false, true, false, true])
  expect(to.listener.heard.length).toBe(2)
  expect(to.threadLinks.isDraining).toBe(false)
})

it('activity is counted in common', () => {
  const all = neighbourhood(3)
  const claims = [0, 1, 2, 1, 0].map((thread) => all[thread]?.threadLinks.nextClaim())
  expect(claims).toEqual([1, 2, 3, 4, 5])
})

it('a single thread has nobody to hear, and nothing to pay', () => {
  const alone = ThreadLinks.none()
  alone.present(presence(alice.key, ''), 1)
  alone.gone(alice.key)
  expect(alone.drain()).toBe(false)
  expect(alone.hasBacklog).toBe(false)
  expect(alone.count).toBe(0)
  expect(alone.sendPacket(0, bob.key, alice.key, arrived(bob.key, packet))).toBe(false)
})

import { expect, it } from 'vitest'
import { ThreadHeadroom } from '#ops/thread-headroom.ts'
import { Counter, Counters } from '#relay/counters.ts'

/** A second of a thread: packets and writes as they were measured, and the busy share. */
interface Second {
  readonly packets: number
  readonly writes: number
  readonly busyShare: number
  readonly logins?: number
}

class Thread {
  readonly counters = new Counters()
  readonly loop = { activeMs: 0, idleMs: 0 }

  pass({ packets, writes, busyShare, logins = 0 }: Second): void {
    this.counters.add(Counter.receivedData, packets)
    this.counters.add(Counter.sentData, packets)
    this.counters.add(Counter.loginsTotal, logins)
    for (let write = 0; write < writes; write++) this.counters.observe('queueDelay', 0.001)
    this.loop.activeMs += 1_000 * busyShare
    this.loop.idleMs += 1_000 * (1 - busyShare)
  }
}

/** What is said after so many seconds like this one. */
function after(seconds: number, threads: readonly (readonly [Thread, Second])[]): ThreadHeadroom {
  const headroom = new ThreadHeadroom()
  for (let n = 0; n <= seconds; n++) {
    const all = threads.map(([thread]) => thread)
    headroom.look(
      all.map(({ counters }) => counters),
      all.map(({ loop }) => structuredClone(loop)),
    )
    for (const [thread, second] of threads) thread.pass(second)
  }
  return headroom
}

// Measured with 10, 100 and 1,000 pairs on the first machine of docs/decisions/0020, and what it carried with 10 pairs then, and
// with more of them in a later run: runs differ by a fifth.
const MEASURED: readonly (readonly [limit: number, second: Second])[] = [
  [122_000, { packets: 20_000, writes: 7_080, busyShare: 0.388 }],
  [122_000, { packets: 60_000, writes: 7_980, busyShare: 0.732 }],
  [122_000, { packets: 100_000, writes: 6_500, busyShare: 0.93 }],
  [126_000, { packets: 20_000, writes: 18_900, busyShare: 0.928 }],
  [126_000, { packets: 30_000, writes: 19_530, busyShare: 0.972 }],
  [126_000, { packets: 60_000, writes: 18_000, busyShare: 0.93 }],
  [126_000, { packets: 100_000, writes: 15_000, busyShare: 1 }],
  [126_000, { packets: 50_000, writes: 22_000, busyShare: 1 }],
]

it.each(MEASURED)('the limit of %i packets a second is seen to 17 %% from %o', (limit, second) => {
  const numbers = after(40, [[new Thread(), second]]).read()
  expect(Math.abs((numbers?.packetsMaxPerSecond ?? 0) / limit - 1)).toBeLessThan(0.17)
  expect(numbers?.ratio).toBeCloseTo(1 - second.packets / (numbers?.packetsMaxPerSecond ?? 0), 1)
})

it('is not known before there was a load', () => {
  const second = { packets: 5, writes: 5, busyShare: 0.02 }
  expect(after(10, [[new Thread(), second]]).read()).toBe(undefined)
})

it('a thread that idles after a load has all of its headroom', () => {
  const thread = new Thread()
  const headroom = new ThreadHeadroom()
  const pass = (second: Second, seconds: number): void => {
    for (let n = 0; n < seconds; n++) {
      thread.pass(second)
      headroom.look([thread.counters], [{ ...thread.loop }])
    }
  }
  pass({ packets: 60_000, writes: 7_980, busyShare: 0.732 }, 40)
  const loaded = headroom.read()
  expect(loaded?.ratio).toBeLessThan(0.6)
  pass({ packets: 2, writes: 2, busyShare: 0.01 }, 60)
  expect(headroom.read()?.ratio).toBeGreaterThan(0.99)
  expect(headroom.read()?.packetsMaxPerSecond).toBe(loaded?.packetsMaxPerSecond)
})

it('the busiest thread counts', () => {
  const [idle, busy] = [
    { packets: 10_000, writes: 4_170, busyShare: 0.255 },
    { packets: 100_000, writes: 6_500, busyShare: 0.93 },
  ]
  const both = after(40, [
    [new Thread(), idle],
    [new Thread(), busy],
  ]).read()
  expect(both?.ratio).toBe(after(40, [[new Thread(), busy]]).read()?.ratio)
})

it('logins are not taken for the cost of packets', () => {
  const second = { packets: 20_000, writes: 7_080, busyShare: 0.388 }
  const thread = new Thread()
  const headroom = new ThreadHeadroom()
  const pass = (one: Second): void => {
    thread.pass(one)
    headroom.look([thread.counters], [{ ...thread.loop }])
  }
  for (let n = 0; n < 40; n++) pass(second)
  const before = headroom.read()?.packetsMaxPerSecond
  for (let n = 0; n < 20; n++) pass({ ...second, busyShare: 1, logins: 800 })
  expect(headroom.read()?.packetsMaxPerSecond).toBe(before)
})

it('a thread for which packets cost twice as much carries half as many', () => {
  const limit = (packets: number, writes: number): number =>
    after(40, [[new Thread(), { packets, writes, busyShare: 0.9 }]]).read()?.packetsMaxPerSecond ?? 0
  expect(limit(20_000, 5_000) / limit(40_000, 10_000)).toBeCloseTo(0.5, 5)
})

it('a full thread shows what packets cost', () => {
  const full = { packets: 60_000, writes: 600, busyShare: 1 }
  expect((after(60, [[new Thread(), full]]).read()?.packetsMaxPerSecond ?? 0) / 60_000).toBeCloseTo(1, 1)
})

it('packets of a thread that died between two looks say nothing of their cost', () => {
  const second = { packets: 20_000, writes: 7_080, busyShare: 0.388 }
  const thread = new Thread()
  const headroom = new ThreadHeadroom()
  for (let n = 0; n < 40; n++) {
    thread.pass(second)
    headroom.look([thread.counters], [{ ...thread.loop }])
  }
  const before = headroom.read()?.packetsMaxPerSecond
  expect(before).toBeGreaterThan(0)
  const loop = { ...thread.loop }
  thread.pass(second)
  headroom.look([thread.counters], [loop])
  expect(headroom.read()?.packetsMaxPerSecond).toBe(before)
})

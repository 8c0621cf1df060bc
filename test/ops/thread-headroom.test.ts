import { expect, it } from 'vitest'
import { ThreadHeadroom } from '#ops/thread-headroom.ts'
import { Counter, Counters } from '#relay/counters.ts'

/** A second of a thread: packets and writes as they were measured, and the busy share. */
interface Second {
  readonly packets: number
  readonly writes: number
  readonly busyShare: number
  readonly logins?: number
  /** Of each packet. */
  readonly bytes?: number
}

class Thread {
  readonly counters = new Counters()
  readonly loop = { activeMs: 0, idleMs: 0 }

  pass({ packets, writes, busyShare, logins = 0, bytes = 1_420 }: Second): void {
    this.counters.add(Counter.receivedData, packets)
    this.counters.add(Counter.sentData, packets)
    this.counters.add(Counter.sentBytesData, packets * bytes)
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

// Measured on two machines, with 10 to 1,000 pairs, and what was carried there then (docs/decisions/0020). The factors are fitted to
// the second; each point is of a few seconds, and the machines are a fifth faster in some seconds than in others.
const MEASURED: readonly (readonly [limit: number, second: Second])[] = [
  [122_000, { packets: 20_000, writes: 7_080, busyShare: 0.388 }],
  [122_000, { packets: 60_000, writes: 7_980, busyShare: 0.732 }],
  [122_000, { packets: 100_000, writes: 6_500, busyShare: 0.93 }],
  [126_000, { packets: 20_000, writes: 18_900, busyShare: 0.928 }],
  [126_000, { packets: 30_000, writes: 19_530, busyShare: 0.972 }],
  [126_000, { packets: 60_000, writes: 18_000, busyShare: 0.93 }],
  [126_000, { packets: 100_000, writes: 15_000, busyShare: 1 }],
  [126_000, { packets: 50_000, writes: 22_000, busyShare: 1 }],
  [196_000, { packets: 42_360, writes: 8_050, busyShare: 0.37 }],
  [196_000, { packets: 84_720, writes: 7_880, busyShare: 0.6 }],
  [196_000, { packets: 49_060, writes: 23_280, busyShare: 0.98 }],
  [196_000, { packets: 147_100, writes: 29_960, busyShare: 1 }],
  [428_000, { packets: 107_000, writes: 7_220, busyShare: 0.46, bytes: 300 }],
  [428_000, { packets: 321_600, writes: 6_110, busyShare: 0.93, bytes: 300 }],
  [370_000, { packets: 157_800, writes: 26_900, busyShare: 1, bytes: 300 }],
  [370_000, { packets: 214_300, writes: 15_260, busyShare: 1, bytes: 300 }],
]

it.each(MEASURED)('the limit of %i packets a second is seen to three tenths from %o', (limit, second) => {
  const numbers = after(40, [[new Thread(), second]]).read()
  expect(Math.abs((numbers?.packetsMaxPerSecond ?? 0) / limit - 1)).toBeLessThan(0.3)
  expect(numbers?.ratio).toBeCloseTo(1 - second.packets / (numbers?.packetsMaxPerSecond ?? 0), 1)
})

it('the limits of all these points together are right in the mean', () => {
  const ratios = MEASURED.map(
    ([limit, second]) => (after(40, [[new Thread(), second]]).read()?.packetsMaxPerSecond ?? 0) / limit,
  )
  expect(Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length)).toBeCloseTo(1, 1)
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

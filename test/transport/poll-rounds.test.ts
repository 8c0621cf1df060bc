// Which connections are polled, and what polling does to them and to others. On a fake event loop.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PollRounds } from '#transport/poll-rounds.ts'
import { ReadState, NO_FLUSH_CONTROL, SHARE_BYTES_MAX, type FlushControl } from '#transport/read-state.ts'
import { FakeLoop, type Rate, type FakeConnection } from './fake-loop.ts'

/** So many high-rate connections make a thread busy. */
const BUSY_COUNT = 14
const mean = (numbers: number[]): number => numbers.reduce((sum, n) => sum + n, 0) / numbers.length

describe('polling', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  it('on a busy thread, collects the records of a millisecond from each high-rate connection', async () => {
    for (const connection of await new FakeLoop().runMany(BUSY_COUNT, {
      recordsPerMs: 4,
      recordBytes: 1_457,
    })) {
      expect(connection.reads).toBeGreaterThan(200)
      expect(connection.reads).toBeLessThan(280)
      expect(Math.max(...connection.delaysMs)).toBeLessThanOrEqual(1.5)
    }
  })

  it('with rounds of a quarter of a millisecond, polls four times as often, and slow connections as before', async () => {
    const loop = new FakeLoop()
    loop.useShortRounds()
    const slow = loop.connect()
    const slowRate = { recordsPerMs: 0.8, recordBytes: 16_406 }
    const fast = Array.from({ length: BUSY_COUNT }, () => loop.connect())
    const rates = new Map<FakeConnection, Rate>(
      fast.map((connection) => [connection, { recordsPerMs: 8, recordBytes: 1_457 }]),
    )
    rates.set(slow, slowRate)
    await loop.run(240, rates)
    for (const { readsMs, delaysMs } of loop.connections) {
      readsMs.length = 0
      delaysMs.length = 0
    }
    await loop.run(240, rates)
    for (const { reads, delaysMs } of fast) {
      expect(reads).toBeGreaterThan(800)
      expect(reads).toBeLessThan(1_100)
      expect(Math.max(...delaysMs)).toBeLessThanOrEqual(0.75)
    }
    expect(slow.readState.isPolled).toBe(true)
    expect(slow.reads).toBeGreaterThan(50)
    expect(slow.reads).toBeLessThan(80)
  })

  it('includes connections with more than a share unread, even if the thread reads little of each', async () => {
    const loop = new FakeLoop()
    const connections = Array.from({ length: 400 }, () => loop.connect())
    const rates = new Map(
      connections.map((connection) => [connection, { recordsPerMs: 0.15, recordBytes: 1_457 }]),
    )
    await loop.run(120, rates)
    expect(connections.some(({ readState }) => readState.isPolled)).toBe(false)
    for (const connection of connections)
      for (let records = 0; records < 60; records++) connection.arrive(1_457)
    await loop.run(1, rates)
    expect(connections.every(({ readState }) => readState.isPolled)).toBe(true)
    await loop.run(120, rates)
    expect(connections.some(({ readState }) => readState.isPolled)).toBe(false)
  })

  it('spreads a large round over many turns', async () => {
    const written: number[] = []
    let readBytes = 0
    const flushControl: FlushControl = {
      ...NO_FLUSH_CONTROL,
      hold: () => (readBytes = 0),
      release: () => written.push(readBytes),
    }
    const loop = new FakeLoop(flushControl)
    const connections = Array.from({ length: 160 }, () => loop.connect())
    for (const connection of connections) connection.onRead = (bytes) => (readBytes += bytes)
    await loop.run(
      180,
      new Map(connections.map((connection) => [connection, { recordsPerMs: 4, recordBytes: 16_406 }])),
    )
    expect(Math.max(...written)).toBeGreaterThan(400_000)
    expect(Math.max(...written)).toBeLessThan(524_288 + SHARE_BYTES_MAX)
  })

  describe('a turn of polls that bring little', () => {
    /** How many connections each turn polls, if a poll takes 0.12 ms. */
    async function polledPerTurn(turns: number, beforePoll: (rounds: PollRounds, polls: number) => void) {
      let nowMs = 0
      let polls = 0
      let isOver = false
      const perTurn: number[] = []
      const flushControl: FlushControl = { ...NO_FLUSH_CONTROL, hold: () => void perTurn.push(0) }
      const rounds = new PollRounds(
        flushControl,
        () => nowMs,
        () => !isOver,
      )
      const poll = (): number => {
        beforePoll(rounds, polls++)
        nowMs += 0.12
        perTurn.push((perTurn.pop() ?? 0) + 1)
        return 100
      }
      for (let n = 0; n < 120; n++)
        rounds.add({ readState: new ReadState(), applyReadState: () => undefined, poll })
      vi.advanceTimersByTime(1)
      while (perTurn.length <= turns) await new Promise(setImmediate)
      isOver = true
      return perTurn.slice(0, turns)
    }

    it('ends after a millisecond', async () => {
      const perTurn = await polledPerTurn(10, () => undefined)
      expect(perTurn).toEqual([9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
    })

    it('ends after a quarter of that while a connection that is not polled is read now and then', async () => {
      const perTurn = await polledPerTurn(20, (rounds, polls) => polls === 0 && rounds.onOtherRead())
      expect(perTurn).toEqual([9, ...Array.from({ length: 16 }, () => 3), 9, 9, 9])
    })
  })

  it.each([
    ['a millisecond after the last one has ended', [0.4, 0.1, 0.9], [1.4, 1.1, 1.9]],
    ['two after it began if it has taken longer than one', [1.2, 1.9], [2, 2]],
    ['at once if it has taken two', [2.5, 6], [2.5, 6]],
  ])('begins a round %s', async (_what, worksMs, expectedMs) => {
    let nowMs = 0
    const beganMs: number[] = []
    const rounds = new PollRounds(
      NO_FLUSH_CONTROL,
      () => nowMs,
      () => true,
    )
    const due: { ms: number; callback: () => void }[] = []
    rounds.timer = { intervalMs: 1, after: (ms, callback) => void due.push({ ms: nowMs + ms, callback }) }
    const poll = (): number => {
      nowMs += worksMs[beganMs.push(nowMs) - 1] ?? 0
      return 100
    }
    rounds.add({ readState: new ReadState(), applyReadState: () => undefined, poll })
    while (beganMs.length <= worksMs.length) {
      const next = due.shift()
      if (next !== undefined) nowMs = next.ms
      next?.callback()
      await new Promise(setImmediate)
    }
    expect(beganMs.slice(1).map((ms, at) => Number((ms - (beganMs[at] ?? 0)).toFixed(3)))).toEqual(expectedMs)
  })

  it.each([
    ['ten connections with few records in few turns', 10, [0.375, 2_640, 0], [1, 3]],
    ['many connections with more records in two turns', BUSY_COUNT, [4, 1_457, 0], [1.5, 2.5]],
    ['the same in several turns while a low-rate connection waits', BUSY_COUNT, [4, 1_457, 1], [3, 6]],
  ] as const)(
    'polls %s',
    async (_what, count, [recordsPerMs, recordBytes, otherRecordsPerMs], [fewest, most]) => {
      const turnsMs: number[] = []
      const loop = new FakeLoop({ ...NO_FLUSH_CONTROL, hold: () => turnsMs.push(loop.nowMs) })
      const rates = new Map<FakeConnection, Rate>([
        [loop.connect(), { recordsPerMs: otherRecordsPerMs, recordBytes: 100 }],
      ])
      for (let n = 0; n < count; n++) rates.set(loop.connect(), { recordsPerMs, recordBytes })
      await loop.run(600, rates)
      const settled = turnsMs.filter((ms) => ms > 300)
      const turnsPerRound = settled.length / new Set(settled.map(Math.floor)).size
      expect(turnsPerRound).toBeGreaterThanOrEqual(fewest)
      expect(turnsPerRound).toBeLessThanOrEqual(most)
    },
  )

  it('leaves out a link on which the sibling collects packets itself, and includes one on which it does not', async () => {
    const loop = new FakeLoop()
    const [collecting, single, bulk] = [loop.connect(), loop.connect(), loop.connect()]
    for (const trunk of [collecting, single]) trunk.readState.isTrunk = true
    const records = { recordsPerMs: 2, recordBytes: 8_000 }
    const packets = { recordsPerMs: 4, recordBytes: 1_497 }
    const rates = new Map([
      [collecting, records],
      [single, packets],
      [bulk, records],
    ])
    await loop.run(240, rates)
    expect([collecting, single, bulk].map(({ readState }) => readState.isPolled)).toEqual([
      false,
      false,
      true,
    ])
    for (let count = 0; count < BUSY_COUNT; count++) rates.set(loop.connect(), packets)
    await loop.run(240, rates)
    expect([collecting, single, bulk].map(({ readState }) => readState.isPolled)).toEqual([false, true, true])
  })

  it('begins at a lower rate where a record costs more', async () => {
    const rate = { recordsPerMs: 4, recordBytes: 1_457 }
    for (const [recordMs, isPolled] of [
      [0.014, false],
      [0.036, true],
    ] as const) {
      const loop = new FakeLoop()
      loop.recordMs = recordMs
      const connections = await loop.runMany(5, rate)
      expect(connections.map(({ readState }) => readState.isPolled)).toEqual(connections.map(() => isPolled))
    }
  })

  it('begins while something else keeps the thread busy, and ends with that', async () => {
    const loop = new FakeLoop()
    const connection = loop.connect()
    const rates = new Map([[connection, { recordsPerMs: 4, recordBytes: 1_457 }]])
    await loop.run(120, rates)
    expect(connection.readState.isPolled).toBe(false)
    loop.busyMs += 50
    await loop.run(100, rates)
    expect(connection.readState.isPolled).toBe(true)
    await loop.run(120, rates)
    expect(connection.readState.isPolled).toBe(false)
  })

  it('goes on while it is what makes the thread less busy, and ends when less arrives', async () => {
    const loop = new FakeLoop()
    const connections = Array.from({ length: BUSY_COUNT }, () => loop.connect())
    const at = (recordsPerMs: number): Map<FakeConnection, Rate> =>
      new Map(connections.map((connection) => [connection, { recordsPerMs, recordBytes: 1_457 }]))
    await loop.run(240, at(4))
    for (let looks = 0; looks < 20; looks++) {
      await loop.run(20, at(4))
      expect(connections.every(({ readState }) => readState.isPolled)).toBe(true)
    }
    // The thread becomes busy at 3.1 records of each in a millisecond; polling ends below 2.7.
    await loop.run(240, at(2.6))
    expect(connections.some(({ readState }) => readState.isPolled)).toBe(false)
  })

  it('reports the end of each round, and whether there will be another', async () => {
    const events: string[] = []
    const loop = new FakeLoop({
      ...NO_FLUSH_CONTROL,
      hold: (isInRound) => events.push(isInRound ? 'round' : 'alone'),
      endRound: () => events.push('end'),
      setPolling: (isPolling) => events.at(-1) !== `${isPolling}` && events.push(`${isPolling}`),
    })
    const connections = await loop.runMany(BUSY_COUNT, { recordsPerMs: 4, recordBytes: 1_457 })
    expect(events[0]).toBe('true')
    expect(events.filter((what) => what === 'end').length).toBeGreaterThan(200)
    await loop.run(400, new Map())
    expect(connections.some(({ readState }) => readState.isPolled)).toBe(false)
    expect(events.at(-1)).toBe('false')
  })

  it('begins at a lower rate per thread where several threads share the load', async () => {
    const rate = { recordsPerMs: 4, recordBytes: 1_457 }
    for (const connection of await new FakeLoop(NO_FLUSH_CONTROL, 1).runMany(8, rate))
      expect(connection.readState.isPolled).toBe(false)
    for (const connection of await new FakeLoop(NO_FLUSH_CONTROL, 2).runMany(8, rate))
      expect(connection.readState.isPolled).toBe(true)
  })

  it('reads everything that a thread can read, and no high-rate connection waits for longer than an interval', async () => {
    const loop = new FakeLoop()
    const connections = await loop.runMany(4, { recordsPerMs: 100, recordBytes: 1_457 })
    for (const connection of connections) expect(Math.max(...connection.delaysMs)).toBeLessThanOrEqual(2)
  })

  it('does not let connections that bring more than can be read delay others', async () => {
    const loop = new FakeLoop()
    const other = loop.connect()
    const floods = Array.from({ length: 4 }, () => loop.connect())
    const rates = new Map<FakeConnection, Rate>([
      [other, { recordsPerMs: 3, recordBytes: 1_457 }],
      ...floods.map((flood) => [flood, { recordsPerMs: 800, recordBytes: 1_457 }] as const),
    ])
    await loop.run(300, rates)
    expect(Math.min(...floods.map(({ unreadRecords }) => unreadRecords))).toBeGreaterThan(1_000)
    expect(other.readState.isPolled).toBe(true)
    expect(other.unreadRecords).toBeLessThanOrEqual(9)
    expect(Math.max(...other.delaysMs)).toBeLessThanOrEqual(3)
  })

  it('does not take pings that have piled up for a high rate', async () => {
    const loop = new FakeLoop()
    const small = loop.connect()
    const highRate = Array.from({ length: BUSY_COUNT }, () => loop.connect())
    const rate = { recordsPerMs: 4, recordBytes: 1_457 }
    await loop.run(180, new Map(highRate.map((connection) => [connection, rate])))
    for (let stalls = 0; stalls < 10; stalls++) {
      for (let pings = 0; pings < 40; pings++) small.arrive(101)
      await loop.run(40, new Map(highRate.map((connection) => [connection, rate])))
      small.arrive(101)
      await loop.run(1, new Map(highRate.map((connection) => [connection, rate])))
      expect(small.readState.isPolled).toBe(false)
    }
  })

  it('collects records of several packets, also on a thread with time', async () => {
    const connections = await new FakeLoop().runMany(10, { recordsPerMs: 0.375, recordBytes: 2_640 })
    for (const connection of connections) {
      expect(connection.reads).toBeLessThan(100)
      expect(mean(connection.delaysMs)).toBeGreaterThan(0.2)
      expect(Math.max(...connection.delaysMs)).toBeLessThanOrEqual(4)
    }
    const wakeups = new Set(connections.flatMap(({ readsMs }) => readsMs))
    expect(wakeups.size).toBeLessThan(100)
  })

  it.each([
    ['packets', 5, { recordsPerMs: 4, recordBytes: 1_457 }],
    ['small packets', 5, { recordsPerMs: 4, recordBytes: 100 }],
    ['a single connection with large records', 1, { recordsPerMs: 0.5, recordBytes: 16_000 }],
  ])('delays nothing on a thread that has time: %s', async (_what, count, rate) => {
    for (const connection of await new FakeLoop().runMany(count, rate))
      expect(Math.max(...connection.delaysMs)).toBe(0)
  })

  it.each([
    ['a call', { recordsPerMs: 0.2, recordBytes: 1_200 }],
    ['a thousand pings a second', { recordsPerMs: 1, recordBytes: 101 }],
  ])('does not delay %s on a busy thread', async (_what, rate) => {
    const loop = new FakeLoop()
    const small = loop.connect()
    const highRate = Array.from({ length: BUSY_COUNT }, () => loop.connect())
    await loop.run(
      300,
      new Map([
        [small, rate],
        ...highRate.map((connection) => [connection, { recordsPerMs: 4, recordBytes: 1_457 }] as const),
      ]),
    )
    expect(mean(highRate.flatMap(({ delaysMs }) => delaysMs))).toBeGreaterThan(0.1)
    expect(Math.max(...small.delaysMs)).toBe(0)
  })

  it('ends when the thread is no longer busy, and for a connection that can only be read by events', async () => {
    const loop = new FakeLoop()
    const connections = await loop.runMany(BUSY_COUNT, { recordsPerMs: 4, recordBytes: 1_457 })
    const [ended, ...others] = connections as [FakeConnection, ...FakeConnection[]]
    expect(connections.every(({ readState }) => readState.isPolled)).toBe(true)
    ended.isEnded = true
    await loop.run(3, new Map())
    expect(ended.readState.wantsReadEvents).toBe(true)
    await loop.run(
      240,
      new Map(others.map((connection) => [connection, { recordsPerMs: 1, recordBytes: 1_457 }])),
    )
    expect(others.map(({ readState }) => readState.wantsReadEvents)).toEqual(others.map(() => true))
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leaves no connection and no record behind, in whatever order connections start and stop sending', async () => {
    const rate = fc.record({
      recordsPerMs: fc.constantFrom(0, 0.1, 1, 3, 10),
      recordBytes: fc.constantFrom(60, 1_457, 2_640, 16_406),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(rate, { minLength: 8, maxLength: 8 }), { maxLength: 6 }),
        async (phases) => {
          const loop = new FakeLoop()
          const connections = Array.from({ length: 8 }, () => loop.connect())
          for (const phase of phases) {
            await loop.run(70, new Map(connections.map((connection, at) => [connection, phase[at] as Rate])))
          }
          await loop.run(150, new Map())
          expect(connections.map(({ unreadRecords }) => unreadRecords)).toEqual(connections.map(() => 0))
          expect(connections.map(({ readState }) => readState.wantsReadEvents)).toEqual(
            connections.map(() => true),
          )
        },
      ),
      { numRuns: 30 },
    )
  })
})

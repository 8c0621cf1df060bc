// Who is read in beats, and what beats do to them and to others.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PollRounds } from '#transport/poll-rounds.ts'
import { ReadState, NO_WRITE_TURNS, SHARE_BYTES_MAX, type WriteTurns } from '#transport/read-state.ts'
import { Play, type Sending, type Source } from './fake-loop.ts'

/** More than a thread serves well one by one. */
const CROWD = 14
const mean = (numbers: number[]): number => numbers.reduce((sum, n) => sum + n, 0) / numbers.length

describe('beats', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  it('gather what flows bring to a crowded thread, for a millisecond', async () => {
    for (const source of await new Play().runAlike(CROWD, { recordsPerMs: 4, recordBytes: 1_457 })) {
      expect(source.visits).toBeGreaterThan(200)
      expect(source.visits).toBeLessThan(280)
      expect(Math.max(...source.delaysMs)).toBeLessThanOrEqual(1.5)
    }
  })

  it('read on those in whom more than a share has piled up, though a slow thread gets little of each', async () => {
    const play = new Play()
    const sources = Array.from({ length: 400 }, () => play.source())
    const sendings = new Map(sources.map((source) => [source, { recordsPerMs: 0.15, recordBytes: 1_457 }]))
    await play.run(120, sendings)
    expect(sources.some(({ readState }) => readState.isPolled)).toBe(false)
    for (const source of sources) for (let records = 0; records < 60; records++) source.arrive(1_457)
    await play.run(1, sendings)
    expect(sources.every(({ readState }) => readState.isPolled)).toBe(true)
    await play.run(120, sendings)
    expect(sources.some(({ readState }) => readState.isPolled)).toBe(false)
  })

  it('look at much in many turns', async () => {
    const written: number[] = []
    let readBytes = 0
    const turns: WriteTurns = {
      ...NO_WRITE_TURNS,
      hold: () => (readBytes = 0),
      release: () => written.push(readBytes),
    }
    const play = new Play(turns)
    const sources = Array.from({ length: 160 }, () => play.source())
    for (const source of sources) source.onRead = (bytes) => (readBytes += bytes)
    await play.run(180, new Map(sources.map((source) => [source, { recordsPerMs: 4, recordBytes: 16_406 }])))
    expect(Math.max(...written)).toBeGreaterThan(400_000)
    expect(Math.max(...written)).toBeLessThan(524_288 + SHARE_BYTES_MAX)
  })

  it('begin no more in a turn when a millisecond of it is over, however little that brought', async () => {
    let nowMs = 0
    const perTurn: number[] = []
    const turns: WriteTurns = { ...NO_WRITE_TURNS, hold: () => void perTurn.push(0) }
    const beats = new PollRounds(
      turns,
      () => nowMs,
      () => true,
    )
    const poll = (): number => {
      nowMs += 0.3
      perTurn.push((perTurn.pop() ?? 0) + 1)
      return 100
    }
    for (let n = 0; n < 40; n++)
      beats.take({ readState: new ReadState(), readAsWanted: () => undefined, poll })
    vi.advanceTimersByTime(1)
    while (perTurn.reduce((sum, pulled) => sum + pulled, 0) < 40) await new Promise(setImmediate)
    expect(perTurn).toEqual([4, 4, 4, 4, 4, 4, 4, 4, 4, 4])
  })

  it.each([
    ['ten who bring a record now and then in a few turns', 10, [0.375, 2_640], [1, 3]],
    ['many who bring more in several', CROWD, [4, 1_457], [3, 6]],
  ] as const)('look at %s', async (_what, count, [recordsPerMs, recordBytes], [fewest, most]) => {
    const turnsMs: number[] = []
    const play = new Play({ ...NO_WRITE_TURNS, hold: () => turnsMs.push(play.nowMs) })
    await play.runAlike(count, { recordsPerMs, recordBytes })
    const settled = turnsMs.filter((ms) => ms > 300)
    const turnsPerBeat = settled.length / new Set(settled.map(Math.floor)).size
    expect(turnsPerBeat).toBeGreaterThanOrEqual(fewest)
    expect(turnsPerBeat).toBeLessThanOrEqual(most)
  })

  it('leave a link alone over which a sibling gathers packets of many, and gather those that it does not', async () => {
    const play = new Play()
    const [gathered, single, bulk] = [play.source(), play.source(), play.source()]
    for (const trunk of [gathered, single]) trunk.readState.isTrunk = true
    const records = { recordsPerMs: 2, recordBytes: 8_000 }
    const packets = { recordsPerMs: 4, recordBytes: 1_497 }
    const sendings = new Map([
      [gathered, records],
      [single, packets],
      [bulk, records],
    ])
    await play.run(240, sendings)
    expect([gathered, single, bulk].map(({ readState }) => readState.isPolled)).toEqual([false, false, true])
    for (let count = 0; count < CROWD; count++) sendings.set(play.source(), packets)
    await play.run(240, sendings)
    expect([gathered, single, bulk].map(({ readState }) => readState.isPolled)).toEqual([false, true, true])
  })

  it('begin with less where a record costs more', async () => {
    const sending = { recordsPerMs: 4, recordBytes: 1_457 }
    for (const [recordMs, isPolled] of [
      [0.014, false],
      [0.036, true],
    ] as const) {
      const play = new Play()
      play.recordMs = recordMs
      const sources = await play.runAlike(5, sending)
      expect(sources.map(({ readState }) => readState.isPolled)).toEqual(sources.map(() => isPolled))
    }
  })

  it('begin while something else keeps the thread busy, and end with that', async () => {
    const play = new Play()
    const source = play.source()
    const sendings = new Map([[source, { recordsPerMs: 4, recordBytes: 1_457 }]])
    await play.run(120, sendings)
    expect(source.readState.isPolled).toBe(false)
    play.busyMs += 50
    await play.run(100, sendings)
    expect(source.readState.isPolled).toBe(true)
    await play.run(120, sendings)
    expect(source.readState.isPolled).toBe(false)
  })

  it('stay while they make a crowd bearable, and end when less comes', async () => {
    const play = new Play()
    const sources = Array.from({ length: CROWD }, () => play.source())
    const at = (recordsPerMs: number): Map<Source, Sending> =>
      new Map(sources.map((source) => [source, { recordsPerMs, recordBytes: 1_457 }]))
    await play.run(240, at(4))
    for (let looks = 0; looks < 20; looks++) {
      await play.run(20, at(4))
      expect(sources.every(({ readState }) => readState.isPolled)).toBe(true)
    }
    // A crowd begins with 3.1 of each in a millisecond, and ends with 2.7.
    await play.run(240, at(2.6))
    expect(sources.some(({ readState }) => readState.isPolled)).toBe(false)
  })

  it('tell when a round is over, and that there will be another', async () => {
    const told: string[] = []
    const play = new Play({
      ...NO_WRITE_TURNS,
      hold: (isInRound) => told.push(isInRound ? 'round' : 'alone'),
      endRound: () => told.push('end'),
      setPolling: (isPolling) => told.at(-1) !== `${isPolling}` && told.push(`${isPolling}`),
    })
    const sources = await play.runAlike(CROWD, { recordsPerMs: 4, recordBytes: 1_457 })
    expect(told[0]).toBe('true')
    expect(told.filter((what) => what === 'end').length).toBeGreaterThan(200)
    await play.run(400, new Map())
    expect(sources.some(({ readState }) => readState.isPolled)).toBe(false)
    expect(told.at(-1)).toBe('false')
  })

  it('begin with less on each of several threads, which share the crowd', async () => {
    const sending = { recordsPerMs: 4, recordBytes: 1_457 }
    for (const source of await new Play(NO_WRITE_TURNS, 1).runAlike(8, sending))
      expect(source.readState.isPolled).toBe(false)
    for (const source of await new Play(NO_WRITE_TURNS, 2).runAlike(8, sending))
      expect(source.readState.isPolled).toBe(true)
  })

  it('take in all that a thread can be brought, and never leave a full flow for longer than a beat', async () => {
    const play = new Play()
    const sources = await play.runAlike(4, { recordsPerMs: 100, recordBytes: 1_457 })
    for (const source of sources) expect(Math.max(...source.delaysMs)).toBeLessThanOrEqual(2)
  })

  it('do not let flows that bring more than can be read keep others waiting', async () => {
    const play = new Play()
    const other = play.source()
    const floods = Array.from({ length: 4 }, () => play.source())
    const sendings = new Map<Source, Sending>([
      [other, { recordsPerMs: 3, recordBytes: 1_457 }],
      ...floods.map((flood) => [flood, { recordsPerMs: 800, recordBytes: 1_457 }] as const),
    ])
    await play.run(300, sendings)
    expect(Math.min(...floods.map(({ waitingRecords }) => waitingRecords))).toBeGreaterThan(1_000)
    expect(other.readState.isPolled).toBe(true)
    expect(other.waitingRecords).toBeLessThanOrEqual(9)
    expect(Math.max(...other.delaysMs)).toBeLessThanOrEqual(3)
  })

  it('do not take pings that have piled up for a flow', async () => {
    const play = new Play()
    const small = play.source()
    const flows = Array.from({ length: CROWD }, () => play.source())
    const sending = { recordsPerMs: 4, recordBytes: 1_457 }
    await play.run(180, new Map(flows.map((readState) => [readState, sending])))
    for (let stalls = 0; stalls < 10; stalls++) {
      for (let pings = 0; pings < 40; pings++) small.arrive(101)
      await play.run(40, new Map(flows.map((readState) => [readState, sending])))
      small.arrive(101)
      await play.run(1, new Map(flows.map((readState) => [readState, sending])))
      expect(small.readState.isPolled).toBe(false)
    }
  })

  it('gather records of many packets, also on a thread with time', async () => {
    const sources = await new Play().runAlike(10, { recordsPerMs: 0.375, recordBytes: 2_640 })
    for (const source of sources) {
      expect(source.visits).toBeLessThan(100)
      expect(mean(source.delaysMs)).toBeGreaterThan(0.2)
      expect(Math.max(...source.delaysMs)).toBeLessThanOrEqual(4)
    }
    const wakeUps = new Set(sources.flatMap(({ visitsMs }) => visitsMs))
    expect(wakeUps.size).toBeLessThan(100)
  })

  it.each([
    ['packets', 5, { recordsPerMs: 4, recordBytes: 1_457 }],
    ['small packets', 5, { recordsPerMs: 4, recordBytes: 100 }],
    ['a single flow of large records', 1, { recordsPerMs: 0.5, recordBytes: 16_000 }],
  ])('keep nobody waiting on a thread that has time: %s', async (_what, count, sending) => {
    for (const source of await new Play().runAlike(count, sending))
      expect(Math.max(...source.delaysMs)).toBe(0)
  })

  it.each([
    ['a call', { recordsPerMs: 0.2, recordBytes: 1_200 }],
    ['a thousand pings a second', { recordsPerMs: 1, recordBytes: 101 }],
  ])('do not keep %s waiting on a crowded thread', async (_what, sending) => {
    const play = new Play()
    const small = play.source()
    const flows = Array.from({ length: CROWD }, () => play.source())
    await play.run(
      300,
      new Map([
        [small, sending],
        ...flows.map((readState) => [readState, { recordsPerMs: 4, recordBytes: 1_457 }] as const),
      ]),
    )
    expect(mean(flows.flatMap(({ delaysMs }) => delaysMs))).toBeGreaterThan(0.1)
    expect(Math.max(...small.delaysMs)).toBe(0)
  })

  it('end with the crowd, and with who can only be waited for', async () => {
    const play = new Play()
    const sources = await play.runAlike(CROWD, { recordsPerMs: 4, recordBytes: 1_457 })
    const [gone, ...others] = sources as [Source, ...Source[]]
    expect(sources.every(({ readState }) => readState.isPolled)).toBe(true)
    gone.isGone = true
    await play.run(3, new Map())
    expect(gone.readState.isAwaited).toBe(true)
    await play.run(240, new Map(others.map((source) => [source, { recordsPerMs: 1, recordBytes: 1_457 }])))
    expect(others.map(({ readState }) => readState.isAwaited)).toEqual(others.map(() => true))
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leave nobody and nothing behind, whoever begins and ends when', async () => {
    const sending = fc.record({
      recordsPerMs: fc.constantFrom(0, 0.1, 1, 3, 10),
      recordBytes: fc.constantFrom(60, 1_457, 2_640, 16_406),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(sending, { minLength: 8, maxLength: 8 }), { maxLength: 6 }),
        async (phases) => {
          const play = new Play()
          const sources = Array.from({ length: 8 }, () => play.source())
          for (const phase of phases) {
            await play.run(70, new Map(sources.map((source, at) => [source, phase[at] as Sending])))
          }
          await play.run(150, new Map())
          expect(sources.map(({ waitingRecords }) => waitingRecords)).toEqual(sources.map(() => 0))
          expect(sources.map(({ readState }) => readState.isAwaited)).toEqual(sources.map(() => true))
        },
      ),
      { numRuns: 30 },
    )
  })
})

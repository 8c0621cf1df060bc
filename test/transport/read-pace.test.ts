// Who is read how much and when: against connections that only note how they are read. Turns are the loop's own;
// beats are played on a clock of the test's.

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Flow, NO_TURNS, SHARE_BYTES_MAX, type Paced, type Turns } from '#transport/flow.ts'
import { ReadPace } from '#transport/read-pace.ts'

class Connection implements Paced {
  readonly flow = new Flow()
  isRead = true
  restCount = 0

  readAsWanted(): void {
    const wasRead = this.isRead
    this.isRead = this.flow.isAwaited
    if (wasRead && !this.isRead) this.restCount++
  }

  pull(): number {
    return -1
  }
}

const turn = async (): Promise<void> => await new Promise((resolve) => void setImmediate(resolve))

/** Reads records of a connection as a system with plenty of them would, while the pace lets it. */
function readAllThatMay(pace: ReadPace, connection: Connection, recordBytes: number): number {
  let byteCount = 0
  while (connection.isRead && byteCount < 10_000_000) {
    pace.read(connection, recordBytes)
    byteCount += recordBytes
  }
  return byteCount
}

describe('a turn', () => {
  it('reads 64 KiB of one connection, and goes on with the next turn', async () => {
    const [pace, connection] = [new ReadPace(() => 0, NO_TURNS), new Connection()]
    for (let turns = 0; turns < 3; turns++) {
      const byteCount = readAllThatMay(pace, connection, 1_457)
      expect(byteCount).toBeGreaterThanOrEqual(65_536)
      expect(byteCount).toBeLessThan(65_536 + 1_457)
      await turn()
      expect(connection.isRead).toBe(true)
    }
  })

  it('goes on with a connection whose first read is more than its share', async () => {
    const [pace, connection] = [new ReadPace(() => 0, NO_TURNS), new Connection()]
    for (let turns = 0; turns < 3; turns++) {
      expect(readAllThatMay(pace, connection, 65_536)).toBe(65_536)
      await turn()
      expect(connection.isRead).toBe(true)
    }
  })

  it('reads about a megabyte of many together, and a whole record of each', async () => {
    const pace = new ReadPace(() => 0, NO_TURNS)
    const many = Array.from({ length: 1_000 }, () => new Connection())
    const some = many.slice(0, 32)
    const readTurn = async (connections: Connection[]): Promise<number[]> => {
      const counts = connections.map((connection) => readAllThatMay(pace, connection, 1_457))
      await turn()
      return counts
    }
    await readTurn(some)
    const ofSome = await readTurn(some)
    expect(ofSome.reduce((sum, count) => sum + count)).toBeLessThan(1_048_576 + 32 * 1_457)
    expect(Math.min(...ofSome)).toBeGreaterThanOrEqual(32_768)
    await readTurn(many)
    const ofMany = await readTurn(many)
    expect(Math.max(...ofMany)).toBeLessThan(16_384 + 1_457)
    expect(Math.min(...ofMany)).toBeGreaterThanOrEqual(16_384)
  })

  it('writes after every quarter of a megabyte that it reads', () => {
    let flushes = 0
    const turns: Turns = { ...NO_TURNS, flushSoFar: () => flushes++ }
    const pace = new ReadPace(() => 0, turns)
    for (let records = 0; records < 1_000; records++) pace.read(new Connection(), 1_457)
    expect(flushes).toBe(Math.floor((1_000 * 1_457) / 262_144))
  })

  it('does not hold back who sends less', async () => {
    const [pace, connection] = [new ReadPace(() => 0, NO_TURNS), new Connection()]
    for (let turns = 0; turns < 100; turns++) {
      for (let records = 0; records < 40; records++) pace.read(connection, 1_457)
      await turn()
    }
    expect(connection.restCount).toBe(0)
  })
})

/** A connection with what the system holds for it: records, each with the time at which it came. */
class Source implements Paced {
  readonly flow = new Flow()
  readonly #play: Play
  readonly #waiting: { sinceMs: number; bytes: number }[] = []
  /** How long each record waited. */
  readonly delaysMs: number[] = []
  readonly visitsMs: number[] = []
  isGone = false
  onRead: (bytes: number) => void = () => undefined

  constructor(play: Play) {
    this.#play = play
  }

  get visits(): number {
    return this.visitsMs.length
  }

  get waitingRecords(): number {
    return this.#waiting.length
  }

  arrive(bytes: number): void {
    this.#waiting.push({ sinceMs: this.#play.nowMs, bytes })
  }

  /** The loop tells that there is something, if it is to. */
  look(): void {
    if (this.#waiting.length > 0 && this.flow.isAwaited) this.visitsMs.push(this.#play.nowMs)
    while (this.#waiting.length > 0 && this.flow.isAwaited) this.#read()
  }

  readAsWanted(): void {}

  pull(): number {
    this.visitsMs.push(this.#play.nowMs)
    if (this.isGone) return -1
    let byteCount = 0
    while (this.#waiting.length > 0 && byteCount < SHARE_BYTES_MAX) byteCount += this.#read()
    return Math.min(byteCount, SHARE_BYTES_MAX)
  }

  #read(): number {
    const record = this.#waiting.shift()
    if (record === undefined) return 0
    this.delaysMs.push(this.#play.nowMs - record.sinceMs)
    this.onRead(record.bytes)
    this.#play.pace.read(this, record.bytes)
    return record.bytes
  }
}

interface Sending {
  readonly recordsPerMs: number
  readonly recordBytes: number
}

const STEPS_PER_MS = 4
/** A turn takes some microseconds. */
const TURNS_PER_STEP = 4
const SWEEP_MS = 60

/** A thread's loop with a clock of its own, which goes on by quarters of a millisecond. */
class Play {
  nowMs = 0
  readonly pace: ReadPace
  readonly sources: Source[] = []

  readonly #threads: number

  constructor(turns: Turns = NO_TURNS, threads = 1) {
    this.pace = new ReadPace(() => this.nowMs, turns)
    this.#threads = threads
  }

  source(): Source {
    const source = new Source(this)
    this.sources.push(source)
    return source
  }

  async run(ms: number, sendings: Map<Source, Sending>): Promise<void> {
    const owed = new Map<Source, number>(
      [...sendings.keys()].map((source, at) => [source, at / sendings.size]),
    )
    for (let step = 0; step < ms * STEPS_PER_MS; step++) {
      for (const [source, { recordsPerMs, recordBytes }] of sendings) {
        let due = (owed.get(source) ?? 0) + recordsPerMs / STEPS_PER_MS
        for (; due >= 1; due--) source.arrive(recordBytes)
        owed.set(source, due)
      }
      for (let turns = 0; turns < TURNS_PER_STEP; turns++) {
        for (const source of this.sources) source.look()
        await turn()
      }
      this.nowMs += 1 / STEPS_PER_MS
      if (Number.isInteger(this.nowMs)) vi.advanceTimersByTime(1)
      if (this.nowMs % SWEEP_MS === 0) this.pace.sweep(this.#threads)
    }
  }

  /** So many sources that send alike; half of the time is for getting into beats. */
  async runAlike(count: number, sending: Sending): Promise<Source[]> {
    const sources = Array.from({ length: count }, () => this.source())
    const sendings = new Map(sources.map((source) => [source, sending]))
    await this.run(240, sendings)
    for (const source of sources) {
      source.visitsMs.length = 0
      source.delaysMs.length = 0
    }
    await this.run(240, sendings)
    return sources
  }
}

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
    expect(sources.some(({ flow }) => flow.isInBeat)).toBe(false)
    for (const source of sources) for (let records = 0; records < 60; records++) source.arrive(1_457)
    await play.run(1, sendings)
    expect(sources.every(({ flow }) => flow.isInBeat)).toBe(true)
    await play.run(120, sendings)
    expect(sources.some(({ flow }) => flow.isInBeat)).toBe(false)
  })

  it('look at much in many turns', async () => {
    const written: number[] = []
    let readBytes = 0
    const turns: Turns = { ...NO_TURNS, hold: () => (readBytes = 0), release: () => written.push(readBytes) }
    const play = new Play(turns)
    const sources = Array.from({ length: 160 }, () => play.source())
    for (const source of sources) source.onRead = (bytes) => (readBytes += bytes)
    await play.run(180, new Map(sources.map((source) => [source, { recordsPerMs: 4, recordBytes: 16_406 }])))
    expect(Math.max(...written)).toBeGreaterThan(400_000)
    expect(Math.max(...written)).toBeLessThan(524_288 + SHARE_BYTES_MAX)
  })

  it.each([
    ['ten who bring a record now and then in a few turns', 10, [0.375, 2_640], [1, 3]],
    ['many who bring more in several', CROWD, [4, 1_457], [3, 6]],
  ] as const)('look at %s', async (_what, count, [recordsPerMs, recordBytes], [fewest, most]) => {
    const turnsMs: number[] = []
    const play = new Play({ ...NO_TURNS, hold: () => turnsMs.push(play.nowMs) })
    await play.runAlike(count, { recordsPerMs, recordBytes })
    const settled = turnsMs.filter((ms) => ms > 300)
    const turnsPerBeat = settled.length / new Set(settled.map(Math.floor)).size
    expect(turnsPerBeat).toBeGreaterThanOrEqual(fewest)
    expect(turnsPerBeat).toBeLessThanOrEqual(most)
  })

  it('begin with less on each of several threads, which share the crowd', async () => {
    const sending = { recordsPerMs: 4, recordBytes: 1_457 }
    for (const source of await new Play(NO_TURNS, 1).runAlike(8, sending))
      expect(source.flow.isInBeat).toBe(false)
    for (const source of await new Play(NO_TURNS, 2).runAlike(8, sending))
      expect(source.flow.isInBeat).toBe(true)
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
    expect(other.flow.isInBeat).toBe(true)
    expect(other.waitingRecords).toBeLessThanOrEqual(9)
    expect(Math.max(...other.delaysMs)).toBeLessThanOrEqual(3)
  })

  it('do not take pings that have piled up for a flow', async () => {
    const play = new Play()
    const small = play.source()
    const flows = Array.from({ length: CROWD }, () => play.source())
    const sending = { recordsPerMs: 4, recordBytes: 1_457 }
    await play.run(180, new Map(flows.map((flow) => [flow, sending])))
    for (let stalls = 0; stalls < 10; stalls++) {
      for (let pings = 0; pings < 40; pings++) small.arrive(101)
      await play.run(40, new Map(flows.map((flow) => [flow, sending])))
      small.arrive(101)
      await play.run(1, new Map(flows.map((flow) => [flow, sending])))
      expect(small.flow.isInBeat).toBe(false)
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
        ...flows.map((flow) => [flow, { recordsPerMs: 4, recordBytes: 1_457 }] as const),
      ]),
    )
    expect(mean(flows.flatMap(({ delaysMs }) => delaysMs))).toBeGreaterThan(0.1)
    expect(Math.max(...small.delaysMs)).toBe(0)
  })

  it('end with the crowd, and with who can only be waited for', async () => {
    const play = new Play()
    const sources = await play.runAlike(CROWD, { recordsPerMs: 4, recordBytes: 1_457 })
    const [gone, ...others] = sources as [Source, ...Source[]]
    expect(sources.every(({ flow }) => flow.isInBeat)).toBe(true)
    gone.isGone = true
    await play.run(3, new Map())
    expect(gone.flow.isAwaited).toBe(true)
    await play.run(240, new Map(others.map((source) => [source, { recordsPerMs: 1, recordBytes: 1_457 }])))
    expect(others.map(({ flow }) => flow.isAwaited)).toEqual(others.map(() => true))
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
          expect(sources.map(({ flow }) => flow.isAwaited)).toEqual(sources.map(() => true))
        },
      ),
      { numRuns: 30 },
    )
  })
})

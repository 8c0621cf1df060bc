// How much of each connection is read in a turn, with connections that only record whether they are read. Turns are those of the
// real event loop.

import { describe, expect, it } from 'vitest'
import {
  ReadState,
  NO_FLUSH_CONTROL,
  type ScheduledConnection,
  type FlushControl,
} from '#transport/read-state.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'

const newScheduler = (flushControl: FlushControl): ReadScheduler =>
  new ReadScheduler(
    () => 0,
    () => 0,
    flushControl,
  )

class FakeConnection implements ScheduledConnection {
  readonly readState = Object.assign(new ReadState(), { isStranger: false })
  isReading = true
  reads = 0
  /** How often reading was stopped. */
  stopCount = 0

  applyReadState(): void {
    const wasReading = this.isReading
    this.isReading = this.readState.wantsReadEvents
    if (wasReading && !this.isReading) this.stopCount++
  }

  poll(): number {
    return -1
  }
}

const turn = async (): Promise<void> => await new Promise((resolve) => void setImmediate(resolve))

/** Reads records of a connection until the scheduler stops it. There are always more. */
function readUntilStopped(scheduler: ReadScheduler, connection: FakeConnection, recordBytes: number): number {
  let byteCount = 0
  while (connection.isReading && byteCount < 10_000_000) {
    scheduler.onRead(connection, recordBytes)
    byteCount += recordBytes
  }
  return byteCount
}

describe('a turn', () => {
  it('reads 64 KiB of one connection; the next turn reads on', async () => {
    const [scheduler, connection] = [newScheduler(NO_FLUSH_CONTROL), new FakeConnection()]
    for (let turns = 0; turns < 3; turns++) {
      const byteCount = readUntilStopped(scheduler, connection, 1_457)
      expect(byteCount).toBeGreaterThanOrEqual(65_536)
      expect(byteCount).toBeLessThan(65_536 + 1_457)
      await turn()
      expect(connection.isReading).toBe(true)
    }
  })

  it('reads on in the next turn if the first read already exceeds the share', async () => {
    const [scheduler, connection] = [newScheduler(NO_FLUSH_CONTROL), new FakeConnection()]
    for (let turns = 0; turns < 3; turns++) {
      expect(readUntilStopped(scheduler, connection, 65_536)).toBe(65_536)
      await turn()
      expect(connection.isReading).toBe(true)
    }
  })

  it('reads about a megabyte of many connections together, and a full TLS record of each at least', async () => {
    const scheduler = newScheduler(NO_FLUSH_CONTROL)
    const many = Array.from({ length: 1_000 }, () => new FakeConnection())
    const some = many.slice(0, 32)
    const readTurn = async (connections: FakeConnection[]): Promise<number[]> => {
      const counts = connections.map((connection) => readUntilStopped(scheduler, connection, 1_457))
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

  it('flushes after every quarter of a megabyte that is read', () => {
    let flushes = 0
    const flushControl: FlushControl = { ...NO_FLUSH_CONTROL, flushSoFar: () => flushes++ }
    const scheduler = newScheduler(flushControl)
    for (let records = 0; records < 1_000; records++) scheduler.onRead(new FakeConnection(), 1_457)
    expect(flushes).toBe(Math.floor((1_000 * 1_457) / 262_144))
  })

  it('does not stop a connection that brings less than its share', async () => {
    const [scheduler, connection] = [newScheduler(NO_FLUSH_CONTROL), new FakeConnection()]
    for (let turns = 0; turns < 100; turns++) {
      for (let records = 0; records < 40; records++) scheduler.onRead(connection, 1_457)
      await turn()
    }
    expect(connection.stopCount).toBe(0)
  })
})

describe('many that are read in turn', () => {
  /** Reads once of each that may be read, for so many turns, and returns how many of them were read in each. */
  async function readTurns(
    scheduler: ReadScheduler,
    connections: readonly FakeConnection[],
    turns: number,
  ): Promise<readonly number[]> {
    const counts: number[] = []
    for (let at = 0; at < turns; at++) {
      const readable = connections.filter(({ isReading }) => isReading)
      for (const connection of readable) {
        scheduler.onRead(connection, 20_000)
        connection.reads++
      }
      counts.push(readable.length)
      await turn()
    }
    return counts
  }

  const readsOf = (connections: readonly FakeConnection[]): readonly number[] =>
    connections.map(({ reads }) => reads)

  it('those of a crowd: eight in a turn, each as often as the others; who is not of it is read in every turn', async () => {
    const scheduler = newScheduler(NO_FLUSH_CONTROL)
    const crowd = Array.from({ length: 100 }, () => new FakeConnection())
    for (const { readState } of crowd) readState.isInTurn = true
    const other = new FakeConnection()
    const counts = await readTurns(scheduler, [...crowd, other], 101)
    expect(Math.max(...counts.slice(1))).toBe(9)
    expect(other.reads).toBe(101)
    expect(Math.max(...readsOf(crowd)) - Math.min(...readsOf(crowd))).toBeLessThanOrEqual(2)
    expect(readsOf(crowd).reduce((sum, reads) => sum + reads)).toBe(100 + 100 * 8)
    for (const { readState } of crowd) readState.isInTurn = false
    await readTurns(scheduler, [...crowd, other], 20)
    expect((await readTurns(scheduler, [...crowd, other], 1))[0]).toBe(101)
  })

  it('strangers, from 64 KiB on, until they have logged in', async () => {
    const scheduler = newScheduler(NO_FLUSH_CONTROL)
    const strangers = Array.from({ length: 50 }, () => new FakeConnection())
    for (const { readState } of strangers) readState.isStranger = true
    const counts = await readTurns(scheduler, strangers, 30)
    expect(counts.slice(0, 4)).toEqual([50, 50, 50, 50])
    expect(Math.max(...counts.slice(4))).toBe(8)
    const [first] = strangers
    if (first !== undefined) first.readState.isStranger = false
    await readTurns(scheduler, strangers, 7)
    const before = first?.reads ?? 0
    await readTurns(scheduler, strangers, 10)
    expect(first?.reads).toBe(before + 10)
  })
})

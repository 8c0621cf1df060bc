// How much of whom is read in a turn: against connections that only note how they are read. WriteTurns are the loop's own.

import { describe, expect, it } from 'vitest'
import {
  ReadState,
  NO_WRITE_TURNS,
  type ScheduledConnection,
  type WriteTurns,
} from '#transport/read-state.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'

const newPace = (turns: WriteTurns): ReadScheduler =>
  new ReadScheduler(
    () => 0,
    () => 0,
    turns,
  )

class Connection implements ScheduledConnection {
  readonly readState = new ReadState()
  isRead = true
  restCount = 0

  readAsWanted(): void {
    const wasRead = this.isRead
    this.isRead = this.readState.isAwaited
    if (wasRead && !this.isRead) this.restCount++
  }

  poll(): number {
    return -1
  }
}

const turn = async (): Promise<void> => await new Promise((resolve) => void setImmediate(resolve))

/** Reads records of a connection as a system with plenty of them would, while the scheduler lets it. */
function readAllThatMay(scheduler: ReadScheduler, connection: Connection, recordBytes: number): number {
  let byteCount = 0
  while (connection.isRead && byteCount < 10_000_000) {
    scheduler.read(connection, recordBytes)
    byteCount += recordBytes
  }
  return byteCount
}

describe('a turn', () => {
  it('reads 64 KiB of one connection, and goes on with the next turn', async () => {
    const [scheduler, connection] = [newPace(NO_WRITE_TURNS), new Connection()]
    for (let turns = 0; turns < 3; turns++) {
      const byteCount = readAllThatMay(scheduler, connection, 1_457)
      expect(byteCount).toBeGreaterThanOrEqual(65_536)
      expect(byteCount).toBeLessThan(65_536 + 1_457)
      await turn()
      expect(connection.isRead).toBe(true)
    }
  })

  it('goes on with a connection whose first read is more than its share', async () => {
    const [scheduler, connection] = [newPace(NO_WRITE_TURNS), new Connection()]
    for (let turns = 0; turns < 3; turns++) {
      expect(readAllThatMay(scheduler, connection, 65_536)).toBe(65_536)
      await turn()
      expect(connection.isRead).toBe(true)
    }
  })

  it('reads about a megabyte of many together, and a whole record of each', async () => {
    const scheduler = newPace(NO_WRITE_TURNS)
    const many = Array.from({ length: 1_000 }, () => new Connection())
    const some = many.slice(0, 32)
    const readTurn = async (connections: Connection[]): Promise<number[]> => {
      const counts = connections.map((connection) => readAllThatMay(scheduler, connection, 1_457))
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
    const turns: WriteTurns = { ...NO_WRITE_TURNS, flushSoFar: () => flushes++ }
    const scheduler = newPace(turns)
    for (let records = 0; records < 1_000; records++) scheduler.read(new Connection(), 1_457)
    expect(flushes).toBe(Math.floor((1_000 * 1_457) / 262_144))
  })

  it('does not hold back who sends less', async () => {
    const [scheduler, connection] = [newPace(NO_WRITE_TURNS), new Connection()]
    for (let turns = 0; turns < 100; turns++) {
      for (let records = 0; records < 40; records++) scheduler.read(connection, 1_457)
      await turn()
    }
    expect(connection.restCount).toBe(0)
  })
})

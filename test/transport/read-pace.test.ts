// Who is read how much and when: against connections that only note whether they are read. Turns are the loop's own.

import { describe, expect, it, vi } from 'vitest'
import { Flow, ReadPace, type Paced } from '#transport/read-pace.ts'

class Connection implements Paced {
  readonly flow = new Flow()
  isRead = true
  restCount = 0

  readAsWanted(): void {
    const wasRead = this.isRead
    this.isRead = !this.flow.isResting
    if (wasRead && !this.isRead) this.restCount++
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
    const [pace, connection] = [new ReadPace(() => 0), new Connection()]
    for (let turns = 0; turns < 3; turns++) {
      const byteCount = readAllThatMay(pace, connection, 1_457)
      expect(byteCount).toBeGreaterThanOrEqual(65_536)
      expect(byteCount).toBeLessThan(65_536 + 1_457)
      await turn()
      expect(connection.isRead).toBe(true)
    }
  })

  it('goes on with a connection whose first read is more than its share', async () => {
    const [pace, connection] = [new ReadPace(() => 0), new Connection()]
    for (let turns = 0; turns < 3; turns++) {
      expect(readAllThatMay(pace, connection, 65_536)).toBe(65_536)
      await turn()
      expect(connection.isRead).toBe(true)
    }
  })

  it('reads about a megabyte of many together, and a whole record of each', async () => {
    const pace = new ReadPace(() => 0)
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

  it('does not hold back who sends less', async () => {
    const [pace, connection] = [new ReadPace(() => 0), new Connection()]
    for (let turns = 0; turns < 100; turns++) {
      for (let records = 0; records < 40; records++) pace.read(connection, 1_457)
      await turn()
    }
    expect(connection.restCount).toBe(0)
  })
})

describe('beats', () => {
  /** Lets some milliseconds go by, in each of which a connection brings so many records in turns of their own. */
  async function flow(
    connection: Connection,
    { recordsPerMs, recordBytes }: { recordsPerMs: number; recordBytes: number },
    utilization: number,
  ): Promise<Connection> {
    let nowMs = 0
    const pace = new ReadPace(() => nowMs)
    pace.note(utilization)
    for (let records = 0; records < recordsPerMs * 60; records++) {
      nowMs = records / recordsPerMs
      if (connection.isRead) pace.read(connection, recordBytes)
      else await vi.waitFor(() => expect(connection.isRead).toBe(true), { interval: 1 })
      await turn()
    }
    return connection
  }

  it.each([
    ['full-size packets, a record each', { recordsPerMs: 3, recordBytes: 1_457 }],
    ['small packets, many to a record', { recordsPerMs: 0.5, recordBytes: 2_640 }],
    ['small packets, a record each', { recordsPerMs: 3, recordBytes: 165 }],
  ])('gather %s on a busy thread, and always go on', async (_what, records) => {
    const connection = await flow(new Connection(), records, 0.6)
    expect(connection.restCount).toBeGreaterThan(3)
    await vi.waitFor(() => expect(connection.isRead).toBe(true), { interval: 1 })
  })

  it.each([
    ['a call', { recordsPerMs: 0.2, recordBytes: 1_200 }],
    ['a thousand pings a second', { recordsPerMs: 1, recordBytes: 101 }],
  ])('do not keep %s waiting', async (_what, records) => {
    expect((await flow(new Connection(), records, 0.9)).restCount).toBe(0)
  })

  it('leave nobody behind when they begin or end in the midst of things', async () => {
    const pace = new ReadPace(() => performance.now())
    const connections = Array.from({ length: 20 }, () => new Connection())
    for (let turns = 0; turns < 400; turns++) {
      if (turns % 7 === 0) pace.note(turns % 2)
      for (const [at, connection] of connections.entries()) {
        if (turns % (at + 1) === 0 && connection.isRead) pace.read(connection, 9_000)
      }
      await turn()
    }
    for (const connection of connections) {
      await vi.waitFor(() => expect(connection.isRead).toBe(true))
      // Whoever is not looked at any more stays at rest once its share is used up.
      expect(readAllThatMay(pace, connection, 1_457)).toBeLessThan(200_000)
      await vi.waitFor(() => expect(connection.isRead).toBe(true))
    }
  })

  it('keep nobody waiting on a thread that has time', async () => {
    const records = { recordsPerMs: 10, recordBytes: 1_457 }
    expect((await flow(new Connection(), records, 0.1)).restCount).toBe(0)
  })

  it('go on while the load lasts that would bring them back, and then stop', () => {
    let nowMs = 0
    const pace = new ReadPace(() => nowMs)
    const rests = async (): Promise<boolean> => {
      const connection = new Connection()
      for (let records = 0; records < 100; records++, nowMs += 0.3) {
        if (connection.isRead) pace.read(connection, 1_457)
        await turn()
      }
      return connection.restCount > 0
    }
    return [0.1, 0.2, 0.06, 0.03, 0.1].reduce(async (before, utilization) => {
      await before
      pace.note(utilization)
      expect(await rests(), `at ${utilization}`).toBe(utilization === 0.2 || utilization === 0.06)
    }, Promise.resolve())
  })
})

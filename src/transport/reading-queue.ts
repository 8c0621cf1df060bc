// Connections that are read one after another, a few in each turn of the event loop, however many of them have something to read:
// those that send much before they have logged in, and those of a key with many connections. Nobody else waits for all of
// them together. Knows neither why a connection is here nor what is read. Runs on a relay thread.

import type { ScheduledConnection } from './read-state.ts'

/** A read brings up to 64 KiB: half a millisecond's work for a few of them. */
const READS_PER_TURN = 8

export class ReadingQueue {
  /** The one that has waited longest first. */
  readonly #waiting = new Set<ScheduledConnection>()
  #isTurnComing = false

  /** `connection` has been read: it is read again when those that wait already have been. */
  add(connection: ScheduledConnection): void {
    this.#waiting.add(connection)
    connection.readState.isWaiting = true
    connection.applyReadState()
    this.#askForTurn()
  }

  #askForTurn(): void {
    if (this.#isTurnComing) return
    this.#isTurnComing = true
    setImmediate(this.#onTurn)
  }

  readonly #onTurn = (): void => {
    this.#isTurnComing = false
    let left = READS_PER_TURN
    for (const connection of this.#waiting) {
      if (left-- === 0) return this.#askForTurn()
      this.#waiting.delete(connection)
      connection.readState.isWaiting = false
      connection.applyReadState()
    }
  }
}

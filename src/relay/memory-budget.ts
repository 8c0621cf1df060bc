// The memory that may wait on one relay thread in all: packets in outboxes, incomplete frames, paused input. Says how
// much of its own limit each outbox may still hold, and when nothing is left. Counts by itself only bursts that are
// under way: the pool counts the rest. Updated once a turn, not for each packet.
//
// What is given up, in this order, as more waits: beyond half of the budget each outbox may hold a smaller share of its
// own limit, and the oldest packets beyond it are dropped, so that a client with little waiting loses nothing. When the
// budget is spent, logins larger than any real one are refused, and clients that have sent part of a large frame are
// ended.

import type { BufferPool } from '#protocol/buffer-pool.ts'
import { Counter, Counters } from './counters.ts'

/** Up to this part of the budget there is no effect. */
const FREE_SHARE = 0.5
/** Of the default limit 2 KiB: the newest full packet of a tunnel. */
const LEAST_SHARE = 1 / 256
/**
 * When nothing is left: real logins have some 300 bytes, and a client that is read in time has no more than this of a
 * frame.
 */
export const FRAME_BYTES_MAX_WHEN_SPENT = 4_096

export interface MemoryBudgetParts {
  readonly bytesMax: number
  readonly pool: Pick<BufferPool, 'lentBytes'>
  readonly counters: Counters
}

export class MemoryBudget {
  readonly #parts: MemoryBudgetParts
  /** May change. */
  bytesMax: number
  /** Of its own limit, what each outbox may hold now: 1 to LEAST_SHARE. */
  share = 1
  #flightBytes = 0

  constructor(parts: MemoryBudgetParts) {
    this.#parts = parts
    this.bytesMax = parts.bytesMax
  }

  /** Without a limit. */
  static unbounded(): MemoryBudget {
    return new MemoryBudget({ bytesMax: Infinity, pool: { lentBytes: 0 }, counters: new Counters() })
  }

  get #bytes(): number {
    return this.#parts.pool.lentBytes + this.#flightBytes
  }

  /** Nothing is left. */
  get isSpent(): boolean {
    return this.#bytes >= this.bytesMax
  }

  /** To be called once a turn. */
  update(): void {
    const bytes = this.#bytes
    const used = bytes / this.bytesMax
    const left = (1 - used) / (1 - FREE_SHARE)
    this.share = used <= FREE_SHARE ? 1 : Math.max(LEAST_SHARE, left)
    this.#parts.counters.set(Counter.waitingBytes, bytes)
  }

  /** A burst was copied out of lent memory and is not written yet; when it is written, `bytes` is negative. */
  addInFlight(bytes: number): void {
    this.#flightBytes += bytes
  }
}

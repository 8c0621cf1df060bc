// How many connections the relay accepts per second: one budget for all its threads, in memory that they share, so that the
// limit means what it says however many threads listen. A token bucket, stored as the time at which it will be full again: a
// single number, which threads exchange without a lock.

const NS_PER_MS = 1_000_000
const NS_PER_SECOND = 1_000_000_000

export class AcceptBudget {
  /** When the bucket will be full, in nanoseconds of the system's monotonic clock; in the past if it is full. */
  readonly #fullAtNs: BigInt64Array
  readonly #perConnectionNs: bigint
  readonly #depthNs: bigint

  /** @param memory as `memory()` makes it, in which the bucket is full */
  constructor(memory: SharedArrayBuffer, perSecond: number, burst: number) {
    this.#fullAtNs = new BigInt64Array(memory)
    this.#perConnectionNs = BigInt(Math.round(NS_PER_SECOND / perSecond))
    this.#depthNs = BigInt(Math.round((NS_PER_SECOND / perSecond) * burst))
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT)
  }

  /** The same, full again: under another limit, what was taken before says nothing. */
  refilled(): this {
    Atomics.store(this.#fullAtNs, 0, 0n)
    return this
  }

  /**
   * Takes one connection from the budget. Returns false if the budget is empty.
   * @param nowMs of a monotonic clock that all threads share
   */
  tryTake(nowMs = systemMs()): boolean {
    const nowNs = BigInt(Math.round(nowMs * NS_PER_MS))
    for (;;) {
      const fullAtNs = Atomics.load(this.#fullAtNs, 0)
      const takenNs = (fullAtNs > nowNs ? fullAtNs : nowNs) + this.#perConnectionNs
      if (takenNs - nowNs > this.#depthNs) return false
      // Fails if another thread has taken a connection meanwhile.
      if (Atomics.compareExchange(this.#fullAtNs, 0, fullAtNs, takenNs) === fullAtNs) return true
    }
  }
}

/** Not `performance.now`, which starts at zero in each thread. */
function systemMs(): number {
  return Number(process.hrtime.bigint()) / NS_PER_MS
}

// What has been used of one budget on this thread: of a connection, a key, a tenant or the relay. Whoever cannot be stopped from
// sending more, a client whose bytes are read already, may overdraw it and waits then.

import { SEND_PACKET_BYTES_MAX } from '#protocol/limits.ts'
import { isSameBudget, type Budget } from '#protocol/budget.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'

/** Of its rate, what may be sent at once; never less than the largest packet, or than so many of them. */
const BURST_SECONDS = 0.1
const BURST_PACKETS_MIN = 64

/** What a client that is told of its budget may send at once. */
export function burstBytesOf({ bytesPerSecond }: Pick<Budget, 'bytesPerSecond'>): number {
  return Math.ceil(Math.max(SEND_PACKET_BYTES_MAX, BURST_SECONDS * bytesPerSecond))
}

export class BudgetBuckets {
  readonly budget: Budget
  readonly #bytes: TokenBucket | undefined
  readonly #packets: TokenBucket | undefined

  constructor(budget: Budget, nowMs: number) {
    this.budget = budget
    const { bytesPerSecond, packetsPerSecond } = budget
    this.#bytes = Number.isFinite(bytesPerSecond)
      ? new TokenBucket(bytesPerSecond, burstBytesOf(budget), nowMs)
      : undefined
    this.#packets = Number.isFinite(packetsPerSecond)
      ? new TokenBucket(
          packetsPerSecond,
          Math.max(BURST_PACKETS_MIN, BURST_SECONDS * packetsPerSecond),
          nowMs,
        )
      : undefined
  }

  /** Undefined without a limit. What has been used of `before` stays used if the budget is the same. */
  static of(budget: Budget, nowMs: number, before?: BudgetBuckets): BudgetBuckets | undefined {
    if (before !== undefined && isSameBudget(before.budget, budget)) return before
    const buckets = new BudgetBuckets(budget, nowMs)
    return buckets.isLimited ? buckets : undefined
  }

  get isLimited(): boolean {
    return this.#bytes !== undefined || this.#packets !== undefined
  }

  /** Charges a frame of a client. Returns for how many ms the client must not be read; 0: for none. */
  charge(payloadBytes: number, nowMs: number): number {
    const forBytes = this.#bytes?.overdraw(payloadBytes, nowMs) ?? 0
    const forPackets = this.#packets?.overdraw(1, nowMs) ?? 0
    return Math.max(forBytes, forPackets)
  }

  /**
   * Charges a packet of somebody whom this relay cannot stop reading, if the limit allows it. Returns false if not: then nothing
   * is charged.
   */
  tryCharge(packetBytes: number, nowMs: number): boolean {
    if (this.#bytes?.tryTake(packetBytes, nowMs) === false) return false
    if (this.#packets?.tryTake(1, nowMs) !== false) return true
    this.#bytes?.giveBack(packetBytes)
    return false
  }

  /** What was charged for a packet that does not pass after all. */
  giveBack(packetBytes: number): void {
    this.#bytes?.giveBack(packetBytes)
    this.#packets?.giveBack(1)
  }
}

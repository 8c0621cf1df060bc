// What the clients of one tenant have together on one relay thread: their share of what the thread reads, and how much they may
// send. Where a thread cannot read all that arrives, it reads by turns of tenants, and within a tenant by turns of clients, so
// that a tenant with a hundred busy clients gets no more than one with a single one (docs/decisions/0032). Who is of which
// tenant is `tenants.ts`'s matter; the turns are the transport's.

import { SEND_PACKET_BYTES_MAX } from '#protocol/limits.ts'
import type { TenantRule } from '#protocol/tenant-rule.ts'
import type { ReadShare } from './ports.ts'
import { TokenBucket } from './token-bucket.ts'

/** Of its rate, what a tenant may send at once; never less than the largest packet, or than so many of them. */
const BURST_SECONDS = 0.1
const BURST_PACKETS_MIN = 64

export class TenantShare implements ReadShare {
  readonly weight: number
  creditBytes = 0
  pass = 0
  readonly #bytes: TokenBucket | undefined
  readonly #packets: TokenBucket | undefined

  constructor({ weight, bytesPerSecond, packetsPerSecond }: TenantRule, nowMs: number) {
    this.weight = weight
    this.#bytes = bucketOf(bytesPerSecond, SEND_PACKET_BYTES_MAX, nowMs)
    this.#packets = bucketOf(packetsPerSecond, BURST_PACKETS_MIN, nowMs)
  }

  /** There is a limit of what it may send. */
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
    return this.#packets?.tryTake(1, nowMs) !== false
  }
}

function bucketOf(perSecond: number, burstMin: number, nowMs: number): TokenBucket | undefined {
  if (!Number.isFinite(perSecond)) return undefined
  return new TokenBucket(perSecond, Math.max(burstMin, BURST_SECONDS * perSecond), nowMs)
}

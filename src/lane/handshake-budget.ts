// How many handshakes strangers may cause: for each address, for each network (/24, /64), and for all together. Who floods from one
// network gets silence and uses up that network's share; when all together is too much, the caller asks for cookies. Bounded:
// addresses beyond those that are kept have the budget of all alone.

import { ipToBytes, isMappedIpv4 } from '#protocol/ip-address.ts'
import { TokenBucket } from '#relay/token-bucket.ts'

/** A household restarts at once, and its relay, too. */
const ADDRESS = { perSecond: 5, burst: 60 }
const NETWORK = { perSecond: 20, burst: 240 }
/** A handshake takes half a millisecond at most: a seventh of a processor. */
const ALL = { perSecond: 300, burst: 600 }
/** Whoever has shown a cookie can be reached at its address, so an address is what each has one of. */
const COOKIED = { perSecond: 200, burst: 400 }
/** Each takes some tens of microseconds, and is smaller than what asks for it. */
const COOKIES = { perSecond: 5_000, burst: 5_000 }
/** Some 200 bytes each. */
const BUCKETS_MAX = 8_192

type Rate = typeof ADDRESS

/** What becomes of an initiation. */
export type Verdict = 'answer' | 'ask' | 'drop'

export class HandshakeBudget {
  readonly #addresses = new BucketTable(ADDRESS)
  readonly #networks = new BucketTable(NETWORK)
  readonly #all: TokenBucket
  readonly #cookied: TokenBucket
  readonly #cookies: TokenBucket

  constructor(nowMs: number) {
    this.#all = bucketOf(ALL, nowMs)
    this.#cookied = bucketOf(COOKIED, nowMs)
    this.#cookies = bucketOf(COOKIES, nowMs)
  }

  /** @param hasCookie asked only if it matters */
  take(host: string, nowMs: number, hasCookie: () => boolean): Verdict {
    const ip = ipToBytes(host)
    const hex = Buffer.from(ip.buffer).toString('hex')
    if (!this.#addresses.tryTake(isMappedIpv4(ip) ? hex : hex.slice(0, 16), nowMs)) return 'drop'
    if (!this.#networks.tryTake(isMappedIpv4(ip) ? hex.slice(0, 30) : hex.slice(0, 16), nowMs)) return 'drop'
    if (this.#all.tryTake(1, nowMs)) return 'answer'
    if (hasCookie()) return this.#cookied.tryTake(1, nowMs) ? 'answer' : 'drop'
    return this.#cookies.tryTake(1, nowMs) ? 'ask' : 'drop'
  }

  /** To be called about every second. */
  sweep(nowMs: number): void {
    this.#addresses.sweep(nowMs)
    this.#networks.sweep(nowMs)
  }
}

class BucketTable {
  readonly #rate: Rate
  readonly #buckets = new Map<string, { readonly bucket: TokenBucket; usedAtMs: number }>()

  constructor(rate: Rate) {
    this.#rate = rate
  }

  tryTake(name: string, nowMs: number): boolean {
    let entry = this.#buckets.get(name)
    if (entry === undefined) {
      if (this.#buckets.size >= BUCKETS_MAX) {
        // So many at once are spoofed. Those that are not get to the budget of all, and to its cookies.
        return true
      }
      entry = { bucket: bucketOf(this.#rate, nowMs), usedAtMs: nowMs }
      this.#buckets.set(name, entry)
    }
    entry.usedAtMs = nowMs
    return entry.bucket.tryTake(1, nowMs)
  }

  /** A bucket that is full again is like a new one. */
  sweep(nowMs: number): void {
    const fullAfterMs = (1_000 * this.#rate.burst) / this.#rate.perSecond
    for (const [name, { usedAtMs }] of this.#buckets)
      if (nowMs - usedAtMs > fullAfterMs) this.#buckets.delete(name)
  }
}

function bucketOf({ perSecond, burst }: Rate, nowMs: number): TokenBucket {
  return new TokenBucket(perSecond, burst, nowMs)
}

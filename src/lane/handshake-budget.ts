// How many handshakes strangers may cause: for each port, for each address, for each network (/24, /64), and for all together. A port
// has one peer, so whoever floods from one gets silence and keeps nobody else waiting, not even neighbours behind the same NAT. Where an
// address, a network or all together are too much, the caller asks for cookies, and who shows one is served. Bounded: ports and
// addresses beyond those that are kept have the budget of the next wider kind.

import { ipToBytes, isMappedIpv4 } from '#protocol/ip-address.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'

/** WireGuard repeats a handshake every five seconds; a restart begins another one. */
const PORT = { perSecond: 0.5, burst: 5 }
/** A household or an office restarts at once, and its relay, too. */
const ADDRESS = { perSecond: 50, burst: 100 }
const NETWORK = { perSecond: 100, burst: 300 }
/** A handshake takes half a millisecond at most: a seventh of a processor. */
const ALL = { perSecond: 300, burst: 600 }
/** Whoever has shown a cookie can be reached at its address, so an address is what each has one of. */
const COOKIED_ADDRESS = { perSecond: 20, burst: 60 }
const COOKIED = { perSecond: 200, burst: 400 }
/** Each takes some tens of microseconds, and is smaller than what asks for it. */
const COOKIES = { perSecond: 5_000, burst: 5_000 }
/** Some 200 bytes each. */
const BUCKETS_MAX = 8_192

type Rate = typeof ADDRESS

/** What becomes of an initiation. */
export type Verdict = 'answer' | 'ask' | 'drop'

export class HandshakeBudget {
  readonly #ports = new BucketTable(PORT)
  readonly #addresses = new BucketTable(ADDRESS)
  readonly #networks = new BucketTable(NETWORK)
  readonly #cookiedAddresses = new BucketTable(COOKIED_ADDRESS)
  readonly #all: TokenBucket
  readonly #cookied: TokenBucket
  readonly #cookies: TokenBucket

  constructor(nowMs: number) {
    this.#all = bucketOf(ALL, nowMs)
    this.#cookied = bucketOf(COOKIED, nowMs)
    this.#cookies = bucketOf(COOKIES, nowMs)
  }

  /** @param hasCookie asked only if it matters */
  take(
    { host, port }: { readonly host: string; readonly port: number },
    nowMs: number,
    hasCookie: () => boolean,
  ): Verdict {
    const ip = ipToBytes(host)
    const hex = Buffer.from(ip.buffer).toString('hex')
    const [address, network] = isMappedIpv4(ip)
      ? [hex, hex.slice(0, 30)]
      : [hex.slice(0, 16), hex.slice(0, 16)]
    if (!this.#ports.tryTake(`${hex} ${port}`, nowMs)) return 'drop'
    // A wider budget is not taken from by what a narrower one has no room for.
    const hasRoom =
      this.#addresses.tryTake(address, nowMs) &&
      this.#networks.tryTake(network, nowMs) &&
      this.#all.tryTake(1, nowMs)
    if (hasRoom) return 'answer'
    if (hasCookie())
      return this.#cookiedAddresses.tryTake(address, nowMs) && this.#cookied.tryTake(1, nowMs)
        ? 'answer'
        : 'drop'
    return this.#cookies.tryTake(1, nowMs) ? 'ask' : 'drop'
  }

  /** To be called about every second. */
  sweep(nowMs: number): void {
    for (const table of [this.#ports, this.#addresses, this.#networks, this.#cookiedAddresses])
      table.sweep(nowMs)
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
      // So many at once are spoofed. Those that are not get to the wider budgets, and to cookies.
      if (this.#buckets.size >= BUCKETS_MAX) return true
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

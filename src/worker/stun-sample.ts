// Where STUN requests come from, for the control thread, which alone knows countries: a random sample of the addresses since
// the last message, with the number of requests that it stands for. An address is here for seconds at most. Runs on the
// STUN thread.

import { IP_BYTES } from '#protocol/ip-address.ts'

/** A flood costs the control thread no more than this many lookups in two seconds. */
const ADDRESSES_MAX = 512

export interface StunRequests {
  /** Answered since the last message. */
  readonly requests: number
  /** Sixteen bytes of each address of the sample. */
  readonly ips: Uint8Array
}

export class StunSample {
  readonly #ips = new Uint8Array(ADDRESSES_MAX * IP_BYTES)
  readonly #random: () => number
  #requests = 0

  /** @param random from 0 to below 1 */
  constructor(random: () => number = Math.random) {
    this.#random = random
  }

  /** Each request has the same chance to be in the sample (Vitter's algorithm R). */
  add(ip: Uint8Array): void {
    const at =
      this.#requests < ADDRESSES_MAX ? this.#requests : Math.floor(this.#random() * (this.#requests + 1))
    this.#requests++
    if (at < ADDRESSES_MAX) this.#ips.set(ip, at * IP_BYTES)
  }

  /** What was added since the last call; undefined: nothing. */
  take(): StunRequests | undefined {
    const requests = this.#requests
    if (requests === 0) return undefined
    const ips = this.#ips.slice(0, Math.min(requests, ADDRESSES_MAX) * IP_BYTES)
    this.#ips.fill(0)
    this.#requests = 0
    return { requests, ips }
  }
}

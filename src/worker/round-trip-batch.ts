// Round trips of clients that a relay thread has read, on their way to the control thread, which alone knows regions and
// countries: one message a second, of bounded size. An address is here for a second at most. Runs on a relay thread.

import { IP_BYTES } from '#protocol/ip-address.ts'

/** The client's home is this relay. No sibling has this name: names are host names. */
export const HOME_HERE = '/'

/** HOME_HERE, the name of the sibling that is the client's home, or undefined where neither is known. */
export type ClientHome = string | undefined

/** A thread with 120,000 clients reads so many in a second. The thread's own histogram counts any more. */
const SAMPLES_MAX = 2_000

export interface RoundTrips {
  /** Sixteen bytes of each client's address. */
  readonly ips: Uint8Array
  readonly seconds: readonly number[]
  readonly homes: readonly ClientHome[]
}

export class RoundTripBatch {
  #ips = new Uint8Array(0)
  #seconds: number[] = []
  #homes: ClientHome[] = []

  add(ip: Uint8Array, seconds: number, home: ClientHome): void {
    const at = this.#seconds.length
    if (at === SAMPLES_MAX) return
    if (this.#ips.length === at * IP_BYTES) this.#grow()
    this.#ips.set(ip, at * IP_BYTES)
    this.#seconds.push(seconds)
    this.#homes.push(home)
  }

  /** What was added since the last call; undefined: nothing. */
  take(): RoundTrips | undefined {
    const count = this.#seconds.length
    if (count === 0) return undefined
    const taken = {
      ips: this.#ips.slice(0, count * IP_BYTES),
      seconds: this.#seconds,
      homes: this.#homes,
    }
    this.#ips.fill(0)
    this.#seconds = []
    this.#homes = []
    return taken
  }

  #grow(): void {
    const grown = new Uint8Array(Math.max(16 * IP_BYTES, 2 * this.#ips.length))
    grown.set(this.#ips)
    this.#ips = grown
  }
}

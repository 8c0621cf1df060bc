// Pages that are requested more often than people, scrapers and control servers do. While that lasts, the control thread yields
// to the relay threads further than it does otherwise: packets must not wait for pages that nobody can read. Runs on the control
// thread.
//
// Contract: below the rate nothing changes, so that admission and the fleet's state keep their share of a full machine.

import { TokenBucket } from '#protocol/token-bucket.ts'

/** A few scrapers, control servers and people together ask a few times a second. */
const REQUESTS_PER_SECOND = 20
/** Many that ask at once, after a restart. */
const REQUESTS_AT_ONCE = 100
/** Longer than the bucket takes to let a request pass that is one of many. */
const CALM_MS = 2_000

export interface PageFloodParts {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly onChange: (isFlood: boolean) => void
}

export class PageFlood {
  readonly #parts: PageFloodParts
  readonly #bucket: TokenBucket
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: PageFloodParts) {
    this.#parts = parts
    this.#bucket = new TokenBucket(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE, parts.now())
  }

  noteRequest(): void {
    if (this.#bucket.tryTake(1, this.#parts.now())) return
    if (this.#timer !== undefined) return void this.#timer.refresh()
    this.#timer = setTimeout(() => this.stop(), CALM_MS)
    this.#parts.onChange(true)
  }

  /** The flood is over. */
  stop(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#parts.onChange(false)
  }
}

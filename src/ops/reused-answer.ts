// A page that is requested more often than anybody can read it: beyond a rate it is not made again, and what was made last is sent.
// Making the metrics of a large fleet takes milliseconds of the processor that relay threads may need.
//
// Contract: what is sent is at most as old as the time between two makings at that rate. Below the rate every answer is new.

import { TokenBucket } from '#protocol/token-bucket.ts'

/** Scrapers ask every few seconds; several of them, and a person who reloads, stay below. A sent answer is 200 ms old at most. */
const MADE_PER_SECOND_MAX = 5
/** Who asks several times at once sees what has happened in between. */
const MADE_AT_ONCE_MAX = 20

export class ReusedAnswer<Answer> {
  readonly #now: () => number
  readonly #bucket: TokenBucket
  #last: Promise<Answer> | undefined = undefined

  /** @param now monotonic milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#bucket = new TokenBucket(MADE_PER_SECOND_MAX, MADE_AT_ONCE_MAX, now())
  }

  /** A new answer, or the last one. One that fails is not sent again. */
  async answer(make: () => Answer | Promise<Answer>): Promise<Answer> {
    if (this.#last !== undefined && !this.#bucket.tryTake(1, this.#now())) return await this.#last
    const made = (async () => await make())()
    this.#last = made
    try {
      return await made
    } catch (error) {
      if (this.#last === made) this.#last = undefined
      throw error
    }
  }
}

// How much the connections of each share may read in one pass over all polled connections: deficit round robin between shares, by
// bytes. A pass in which shares were used up is followed by another one at once, so nothing that could be read is left unread,
// and what a share leaves the others have. Runs on a relay thread.

import type { ReadShare } from '#relay/ports.ts'

/** Of the share with the largest weight, in each pass: a pass of two takes less than a millisecond. */
const PASS_BYTES = 262_144
/** A pass has so much for all together at most, or this of each: with many shares, each waits for all others. */
const PASS_BYTES_OF_ALL = 1_048_576
const PASS_BYTES_MIN = 32_768
/** So many passes a share may be ahead, for what is read of it outside of passes. */
const DEBT_PASSES = 8

export class ReadCredit {
  #pass = 0
  /** Of the shares that were met in this pass and in the last one. */
  #count = 0
  #weightMax = 0
  #lastCount = 1
  #lastWeightMax = 1

  beginPass(): void {
    this.#pass++
    // Without a meeting there is nothing to divide.
    if (this.#count > 0) {
      this.#lastCount = this.#count
      this.#lastWeightMax = this.#weightMax
    }
    this.#count = 0
    this.#weightMax = 0
  }

  /** Whether a connection of the share may be read in this pass. */
  isLeft(share: ReadShare): boolean {
    if (share.pass !== this.#pass) this.#give(share)
    return share.creditBytes > 0
  }

  #give(share: ReadShare): void {
    const { weight } = share
    this.#count++
    this.#weightMax = Math.max(this.#weightMax, weight)
    const ofLargest = Math.max(PASS_BYTES_MIN, Math.min(PASS_BYTES, PASS_BYTES_OF_ALL / this.#lastCount))
    const bytes = ofLargest * Math.min(1, weight / this.#lastWeightMax)
    // What it did not use is not kept: it had nothing to read then.
    const creditBytes = Math.min(bytes, share.creditBytes + bytes)
    share.creditBytes = Math.max(creditBytes, -DEBT_PASSES * bytes)
    share.pass = this.#pass
  }
}

// How many messages are read: so many a second, and a few at once. Has no clock; time is passed in.

export class Allowance {
  readonly #perMs: number
  readonly #burst: number
  #left: number
  #atMs = Number.NEGATIVE_INFINITY

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1_000
    this.#burst = burst
    this.#left = burst
  }

  take(nowMs: number): boolean {
    this.#left = Math.min(this.#burst, this.#left + (nowMs - this.#atMs) * this.#perMs)
    this.#atMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}

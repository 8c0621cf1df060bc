// A token bucket that may be overdrawn: an owner that takes more than is there waits until the debt is paid. The unit
// is the owner's choice. Has no clock; time is passed in.

export class TokenBucket {
  readonly #perSecond: number
  readonly #depth: number
  #tokens: number
  #filledAtMs: number

  /** Starts full. */
  constructor(perSecond: number, depth: number, nowMs: number) {
    this.#perSecond = perSecond
    this.#depth = depth
    this.#tokens = depth
    this.#filledAtMs = nowMs
  }

  /** Takes `amount` if there is as much; otherwise takes nothing and returns false. */
  tryTake(amount: number, nowMs: number): boolean {
    this.#fill(nowMs)
    if (this.#tokens < amount) return false
    this.#tokens -= amount
    return true
  }

  /** Takes `amount` in any case. Returns how many ms it takes until the bucket is out of debt; 0: it has none. */
  overdraw(amount: number, nowMs: number): number {
    this.#fill(nowMs)
    this.#tokens -= amount
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1_000
  }

  /** Undoes taking `amount`. */
  giveBack(amount: number): void {
    this.#tokens = Math.min(this.#depth, this.#tokens + amount)
  }

  #fill(nowMs: number): void {
    const added = ((nowMs - this.#filledAtMs) / 1_000) * this.#perSecond
    this.#tokens = Math.min(this.#depth, this.#tokens + Math.max(0, added))
    this.#filledAtMs = nowMs
  }
}

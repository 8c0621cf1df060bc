// How long a TLS handshake may take while the limit of handshakes is reached and others wait for its place. A client that takes
// long holds others up; but where a relay or its network is overloaded, all clients take long, and none of them is to blame.
// So the patience follows the quickest handshake of the last seconds: one client that is served well is enough to tell. Knows
// neither connections nor TLS.

/** Answers from the other side of the earth take 0.4 s. */
const PATIENCE_MS_MIN = 3_000
/** A client of whom the quickest one is so many times quicker is slow, whatever else is slow. */
const TIMES_THE_QUICKEST = 3
/** What took place longer ago than one to two of these says nothing. */
const WINDOW_MS = 2_000

export class HandshakePatience {
  #windowEndMs = 0
  /** The quickest handshake of the present window and of the one before. */
  #quickestMs = Infinity
  #quickestBeforeMs = Infinity

  /** A handshake was completed. */
  note(tookMs: number, nowMs: number): void {
    this.#follow(nowMs)
    this.#quickestMs = Math.min(this.#quickestMs, tookMs)
  }

  patienceMs(nowMs: number): number {
    this.#follow(nowMs)
    const quickestMs = Math.min(this.#quickestMs, this.#quickestBeforeMs)
    return quickestMs === Infinity
      ? PATIENCE_MS_MIN
      : Math.max(PATIENCE_MS_MIN, TIMES_THE_QUICKEST * quickestMs)
  }

  #follow(nowMs: number): void {
    if (nowMs < this.#windowEndMs) return
    this.#quickestBeforeMs = nowMs < this.#windowEndMs + WINDOW_MS ? this.#quickestMs : Infinity
    this.#quickestMs = Infinity
    this.#windowEndMs = nowMs + WINDOW_MS
  }
}

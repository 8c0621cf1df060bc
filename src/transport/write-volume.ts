// How much is written on a connection: tells whether it has ever been so much that large buffers are worth their memory.

/** Per second: two megabits. A message, a page or the handshake of a tunnel is less. */
const LARGE_BYTES = 262_144
const WINDOW_MS = 1_000

export class WriteVolume {
  /** Once true it stays true, since buffers that have grown never shrink. */
  isLarge = false
  #bytes = 0
  #fromMs = 0

  add(byteCount: number, nowMs: number): void {
    if (nowMs - this.#fromMs > WINDOW_MS) {
      this.#fromMs = nowMs
      this.#bytes = 0
    }
    this.#bytes += byteCount
    this.isLarge ||= this.#bytes > LARGE_BYTES
  }
}

// Buffers lent for as long as bytes wait: parts of frames in readers, frames in outboxes. Idle sessions
// hold none. What a burst took is let go of by and by, beyond a fixed reserve: `trim`. Contract: who rents
// returns exactly once and does not touch the buffer afterwards.

/** 2 KiB holds one full-size tunnel packet; each class is four times the one before. */
const CLASS_BYTES = [2_048, 8_192, 32_768, 131_072, 524_288, 2_097_152] as const
/** Reserve of each class, small beside a relay's sockets. */
const RESERVE_BYTES = 4_194_304

export class BufferPool {
  readonly #free: Buffer[][] = CLASS_BYTES.map(() => [])
  /** How many of each class have been free all the time since the last `trim`. */
  readonly #unneeded: number[] = CLASS_BYTES.map(() => 0)
  #lentBytes = 0

  /** Bytes now lent out, whole buffers counted. */
  get lentBytes(): number {
    return this.#lentBytes
  }

  /** A buffer of at least `bytes` bytes with arbitrary content. Over 2 MiB it is made to measure. */
  rent(bytes: number): Buffer {
    const at = CLASS_BYTES.findIndex((size) => size >= bytes)
    const size = CLASS_BYTES[at] ?? bytes
    this.#lentBytes += size
    const free = this.#free[at]
    const buffer = free?.pop()
    if (free === undefined || buffer === undefined) return Buffer.allocUnsafeSlow(size)
    if (free.length < (this.#unneeded[at] ?? 0)) this.#unneeded[at] = free.length
    return buffer
  }

  /** Takes a rented buffer back. */
  giveBack(buffer: Buffer): void {
    this.#lentBytes -= buffer.length
    this.#free[CLASS_BYTES.findIndex((size) => size === buffer.length)]?.push(buffer)
  }

  /**
   * Lets go of what nobody has needed since the last call. To be called about once a second: a busy relay takes and
   * returns tens of megabytes in each turn, and to allocate them anew would keep the garbage collector at work.
   */
  trim(): void {
    for (const [at, size] of CLASS_BYTES.entries()) {
      const free = this.#free[at] ?? []
      const beyondReserve = free.length - RESERVE_BYTES / size
      free.length -= Math.max(0, Math.min(this.#unneeded[at] ?? 0, beyondReserve))
      this.#unneeded[at] = free.length
    }
  }
}

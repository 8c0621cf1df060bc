// Buffers rented while bytes wait: partial frames in readers, frames in outboxes. Idle sessions have none. `trim` frees the
// buffers of a burst gradually, down to a fixed reserve.
//
// Contract: the user of a rented buffer returns it exactly once and does not touch it afterwards.

/** 2 KiB is enough for one full-size tunnel packet; each class is four times the previous one. */
const CLASS_BYTES = [2_048, 8_192, 32_768, 131_072, 524_288, 2_097_152] as const
/** Reserve of each class; small compared with a relay's sockets. */
const RESERVE_BYTES = 4_194_304

export class BufferPool {
  readonly #free: Buffer[][] = CLASS_BYTES.map(() => [])
  /** The number of buffers of each class that have been free since the last `trim`. */
  readonly #unneeded: number[] = CLASS_BYTES.map(() => 0)
  #lentBytes = 0

  /** Bytes of all rented buffers. */
  get lentBytes(): number {
    return this.#lentBytes
  }

  /** A buffer of at least `bytes` bytes with arbitrary content; of exactly that size above 2 MiB. */
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
   * Frees buffers that were not needed since the last call. To be called about once a second: a busy relay rents and
   * returns tens of megabytes in each turn, and to allocate them each time would keep the garbage collector busy.
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

// Buffers lent for as long as bytes wait: parts of frames in readers, frames in outboxes. Idle sessions
// hold none. What a burst took is given back to the process beyond a fixed reserve. Contract: who rents
// returns exactly once and does not touch the buffer afterwards.

/** 2 KiB holds one full-size tunnel packet; each class is four times the one before. */
const CLASS_BYTES = [2_048, 8_192, 32_768, 131_072, 524_288, 2_097_152] as const
/** Reserve of each class. 4 MiB keeps a busy relay from allocating and is small beside its sockets. */
const RESERVE_BYTES_MAX = 4_194_304

export class BufferPool {
  readonly #free: Buffer[][] = CLASS_BYTES.map(() => [])
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
    return this.#free[at]?.pop() ?? Buffer.allocUnsafeSlow(size)
  }

  /** Takes a rented buffer back. */
  giveBack(buffer: Buffer): void {
    this.#lentBytes -= buffer.length
    const free = this.#free[CLASS_BYTES.findIndex((size) => size === buffer.length)]
    if (free !== undefined && free.length * buffer.length < RESERVE_BYTES_MAX) free.push(buffer)
  }
}

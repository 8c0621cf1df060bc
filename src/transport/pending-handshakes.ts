// TCP connections whose TLS hello has not come, is not here as a whole, or waits for its turn. They cost a descriptor and
// what they have sent, which is bounded for all together; TLS is made for none of them. Knows no sockets' events and
// no TLS: the acceptor feeds it and takes from it.

import type { TcpHandle } from './runtime-handles.ts'

/**
 * What all hellos of one relay may hold: 12,000 clients that come back at once send 24 MB. Who sends 16 KiB less a byte, as
 * often as a descriptor is left, gets no further than this.
 */
const HELD_BYTES_MAX = 33_554_432

export interface PendingHandshake {
  readonly tcp: TcpHandle
  readonly sinceMs: number
  /** What has come so far, where that was not used up at once. */
  hello: Buffer | undefined
}

export class PendingHandshakes {
  readonly #heldBytesMax: number
  /** Oldest first. */
  readonly #all = new Set<PendingHandshake>()
  /** Those with a part of their hello here, by when it came first. */
  readonly #holding = new Set<PendingHandshake>()
  #heldBytes = 0

  /** @param threadCount of the relay, whose bound is shared by them */
  constructor(threadCount: number) {
    this.#heldBytesMax = HELD_BYTES_MAX / threadCount
  }

  add(tcp: TcpHandle, nowMs: number): PendingHandshake {
    const pending: PendingHandshake = { tcp, sinceMs: nowMs, hello: undefined }
    this.#all.add(pending)
    return pending
  }

  has(pending: PendingHandshake): boolean {
    return this.#all.has(pending)
  }

  /** Keeps `bytes`, all that has come of a hello. */
  hold(pending: PendingHandshake, bytes: Buffer): void {
    this.#heldBytes += bytes.length - (pending.hello?.length ?? 0)
    pending.hello = bytes
    this.#holding.add(pending)
  }

  /** Who has to go because more is held than may be: the one that has held something longest. */
  get superfluous(): PendingHandshake | undefined {
    return this.#heldBytes > this.#heldBytesMax ? first(this.#holding) : undefined
  }

  /** It has gone, or gone on. */
  delete(pending: PendingHandshake): void {
    this.#all.delete(pending)
    if (this.#holding.delete(pending)) this.#heldBytes -= pending.hello?.length ?? 0
  }

  [Symbol.iterator](): IterableIterator<PendingHandshake> {
    return this.#all.values()
  }
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const item of set) return item
  return undefined
}

// TCP connections whose TLS handshake has not begun: the client's hello has not arrived, is incomplete, or waits for its turn.
// Each costs a descriptor and the bytes that it has sent, which are limited for all of them together; no TLS state exists
// yet. Not concerned with socket events or TLS: handle-acceptor.ts adds connections and removes them.

import type { TcpHandle } from './runtime-handles.ts'

/**
 * Buffered hellos of one relay, all threads together: 12,000 clients that come back at once send 24 MB. An attacker who sends
 * 16 KiB less one byte on as many connections as there are descriptors takes no more than this.
 */
const ALL_HELLO_BYTES_MAX = 33_554_432

export interface PendingHandshake {
  readonly tcp: TcpHandle
  readonly sinceMs: number
  /** The buffered part of the hello; undefined if nothing is buffered. */
  hello: Buffer | undefined
}

export class PendingHandshakes {
  readonly #helloBytesMax: number
  /** Oldest first. */
  readonly #all = new Set<PendingHandshake>()
  /** Those with buffered bytes, in the order in which the first bytes were buffered. */
  readonly #buffering = new Set<PendingHandshake>()
  #helloBytes = 0

  /** @param threadCount of the relay: its threads share the limit */
  constructor(threadCount: number) {
    this.#helloBytesMax = ALL_HELLO_BYTES_MAX / threadCount
  }

  add(tcp: TcpHandle, nowMs: number): PendingHandshake {
    const pending: PendingHandshake = { tcp, sinceMs: nowMs, hello: undefined }
    this.#all.add(pending)
    return pending
  }

  has(pending: PendingHandshake): boolean {
    return this.#all.has(pending)
  }

  /** Keeps `hello`, all that has arrived so far. */
  buffer(pending: PendingHandshake, hello: Buffer): void {
    this.#helloBytes += hello.length - (pending.hello?.length ?? 0)
    pending.hello = hello
    this.#buffering.add(pending)
  }

  /** The handshake to abort while the limit is exceeded: the one that has buffered bytes the longest. */
  get overLimit(): PendingHandshake | undefined {
    return this.#helloBytes > this.#helloBytesMax ? first(this.#buffering) : undefined
  }

  /** Its connection was closed, or its TLS handshake begins. */
  delete(pending: PendingHandshake): void {
    this.#all.delete(pending)
    if (this.#buffering.delete(pending)) this.#helloBytes -= pending.hello?.length ?? 0
  }

  [Symbol.iterator](): IterableIterator<PendingHandshake> {
    return this.#all.values()
  }
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const item of set) return item
  return undefined
}

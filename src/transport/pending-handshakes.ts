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
  /** Those whose hello is not complete: the client has to go on. Oldest first. */
  readonly #incomplete = new Set<PendingHandshake>()
  /** Those whose hello is complete: this relay has to go on. In the order of their turns. */
  readonly #waiting = new Set<PendingHandshake>()
  /** The incomplete ones with buffered bytes, in the order in which the first bytes were buffered. */
  readonly #buffering = new Set<PendingHandshake>()
  #helloBytes = 0

  /** @param threadCount of the relay: its threads share the limit */
  constructor(threadCount: number) {
    this.#helloBytesMax = ALL_HELLO_BYTES_MAX / threadCount
  }

  add(tcp: TcpHandle, nowMs: number): PendingHandshake {
    const pending: PendingHandshake = { tcp, sinceMs: nowMs, hello: undefined }
    this.#incomplete.add(pending)
    return pending
  }

  /** Those whose hello is not complete, oldest first. */
  get incomplete(): Iterable<PendingHandshake> {
    return this.#incomplete
  }

  /** Those whose hello is complete, in the order of their turns. */
  get waiting(): Iterable<PendingHandshake> {
    return this.#waiting
  }

  get isAnyWaiting(): boolean {
    return this.#waiting.size > 0
  }

  isWaiting(pending: PendingHandshake): boolean {
    return this.#waiting.has(pending)
  }

  /** Keeps `hello`, all that has arrived so far. */
  buffer(pending: PendingHandshake, hello: Buffer): void {
    this.#helloBytes += hello.length - (pending.hello?.length ?? 0)
    pending.hello = hello
    if (!this.#waiting.has(pending)) this.#buffering.add(pending)
  }

  /** The hello is complete, and waits for its turn. */
  wait(pending: PendingHandshake): void {
    this.#incomplete.delete(pending)
    this.#buffering.delete(pending)
    this.#waiting.add(pending)
  }

  /**
   * The handshake to abort while the limit is exceeded: the incomplete one that has buffered bytes the longest; without any,
   * `newest`, since the turns of the others are nearer. Undefined: the limit is not exceeded.
   */
  excess(newest: PendingHandshake): PendingHandshake | undefined {
    return this.#helloBytes > this.#helloBytesMax ? (first(this.#buffering) ?? newest) : undefined
  }

  /** Its connection was closed, or its TLS handshake begins. */
  delete(pending: PendingHandshake): void {
    this.#incomplete.delete(pending)
    this.#buffering.delete(pending)
    this.#waiting.delete(pending)
    this.#helloBytes -= pending.hello?.length ?? 0
    pending.hello = undefined
  }
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const item of set) return item
  return undefined
}

// Pings that wait for their pong, matched by their eight bytes, each with a time limit. A server answers at most one at a
// time and may ignore others, so a missing pong means little unless the ping was the only one.

import { randomBytes } from 'node:crypto'
import { toHex } from '#protocol/bytes.ts'
import { PING_BYTES } from '#protocol/limits.ts'

interface PendingPing {
  readonly startMs: number
  readonly limit: NodeJS.Timeout
  readonly resolve: (roundTripMs: number) => void
  readonly reject: (reason: Error) => void
}

export class PendingPings {
  readonly #pending = new Map<string, PendingPing>()

  /** Sends eight random bytes. Resolves to the round trip in ms; rejects after `timeoutMs`. */
  send(timeoutMs: number, write: (bytes: Uint8Array) => void): Promise<number> {
    const bytes = randomBytes(PING_BYTES)
    const id = toHex(bytes)
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const limit = setTimeout(() => {
      this.#pending.delete(id)
      reject(new Error(`no pong within ${timeoutMs} ms`))
    }, timeoutMs)
    this.#pending.set(id, { startMs: performance.now(), limit, resolve, reject })
    write(bytes)
    return promise
  }

  /** Takes a pong's payload. Returns the round trip in ms; undefined if it answers no pending ping. */
  settle(payload: Uint8Array): number | undefined {
    const id = toHex(payload.subarray(0, PING_BYTES))
    const ping = this.#pending.get(id)
    if (ping === undefined) return undefined
    const roundTripMs = performance.now() - ping.startMs
    this.#pending.delete(id)
    clearTimeout(ping.limit)
    ping.resolve(roundTripMs)
    return roundTripMs
  }

  /** No pong can come any more. */
  rejectAll(reason: Error): void {
    for (const ping of this.#pending.values()) {
      clearTimeout(ping.limit)
      ping.reject(reason)
    }
    this.#pending.clear()
  }
}

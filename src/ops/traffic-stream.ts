// derper's page `/debug/traffic`: an endless answer with a line of JSON for each connection that has moved bytes in the last two
// seconds, and an empty line after each round. Costs nothing while nobody reads it. Runs on the control thread.
//
// Contract: a reader that does not read holds at most one round in this process, and misses those that follow; what a connection
// has moved meanwhile is in the next one.

import type { ServerResponse } from 'node:http'
import { earlierRow, type ClientSnapshot } from './client-snapshot.ts'

/** As derper's. */
const ROUND_MS = 2_000
/** People who look at the same time. Each round of ten thousand busy clients has two megabytes. */
const STREAMS_MAX = 4

interface Reader {
  readonly response: ServerResponse
  /** What its last round had; undefined before the first one. */
  seen: ClientSnapshot | undefined
}

export class TrafficStream {
  readonly #snapshot: () => Promise<ClientSnapshot>
  readonly #isShown: () => boolean
  readonly #readers = new Set<Reader>()
  #timer: NodeJS.Timeout | undefined = undefined

  /** @param isShown whether whole keys may be shown, which may change while somebody reads */
  constructor(snapshot: () => Promise<ClientSnapshot>, isShown: () => boolean) {
    this.#snapshot = snapshot
    this.#isShown = isShown
  }

  /** False if there are as many as there may be. */
  open(response: ServerResponse): boolean {
    if (this.#readers.size >= STREAMS_MAX) return false
    response.writeHead(200, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Accel-Buffering': 'no',
    })
    const reader: Reader = { response, seen: undefined }
    this.#readers.add(reader)
    response.once('close', () => {
      this.#readers.delete(reader)
      if (this.#readers.size === 0) clearTimeout(this.#timer)
    })
    response.flushHeaders()
    if (this.#readers.size === 1) void this.#round()
    return true
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const { response } of this.#readers) response.end()
    this.#readers.clear()
  }

  async #round(): Promise<void> {
    const now = await this.#snapshot()
    if (!this.#isShown()) return this.close()
    for (const reader of this.#readers) {
      // The last round has not left this process.
      if (reader.response.writableLength > 0) continue
      reader.response.write(`${trafficLines(now, reader.seen).join('')}\n`)
      reader.seen = now
    }
    clearTimeout(this.#timer)
    if (this.#readers.size > 0) this.#timer = setTimeout(() => void this.#round(), ROUND_MS)
  }
}

/** A line for each connection that has moved bytes since; without an earlier snapshot, ever. */
export function trafficLines(now: ClientSnapshot, seen: ClientSnapshot | undefined): readonly string[] {
  const lines: string[] = []
  for (let row = 0; row < now.count; row++) {
    const [sent, received] = [now.value(row, 'wireSentBytes'), now.value(row, 'wireReceivedBytes')]
    const before = seen && earlierRow(now, seen, row)
    const isQuiet =
      before === undefined || seen === undefined
        ? sent + received === 0
        : sent <= seen.value(before, 'wireSentBytes') && received <= seen.value(before, 'wireReceivedBytes')
    if (isQuiet) continue
    const senders = now.value(row, 'senders')
    const line = {
      Sent: sent,
      Recv: received,
      Key: now.keyOf(row),
      ...(senders > 0 && { UniqueSenders: senders }),
    }
    lines.push(`${JSON.stringify(line)}\n`)
  }
  return lines
}

// The stream of the status page: server-sent events to a bounded number of browsers. Each first gets all parts of the page, then
// those that change. Costs nothing while nobody looks. Runs on the control thread.
//
// Contract: a browser that does not read holds at most one update in this process, misses those that follow, and later gets
// all parts again.

import type { ServerResponse } from 'node:http'
import type { Overview } from './overview.ts'
import { sectionsOf, titleOf, type Sections } from './status-sections.ts'

/** The admin port has 64 connections; the rest is for scrapers and probes. */
const STREAMS_MAX = 16
/** Proxies give up on connections that are silent for a minute; half of that is usual. */
const PING_MS = 25_000
/** For a browser that connects again by itself, after a restart of this relay. */
const RETRY_MS = 3_000

export interface StatusStreamParts {
  readonly overview: () => Overview
  /** Undefined: {@link STREAMS_MAX}. */
  readonly streamsMax?: number
}

/** The head and the first line of a stream may still be on their way when the first update follows. */
const UNREAD_BYTES_MAX = 1_024

interface Stream {
  readonly response: ServerResponse
  /** Has all parts as they were sent last. */
  isCurrent: boolean
  sentMs: number
}

export class StatusStream {
  readonly #parts: StatusStreamParts
  readonly #streams = new Set<Stream>()
  #sections: Sections = {}

  constructor(parts: StatusStreamParts) {
    this.#parts = parts
  }

  get count(): number {
    return this.#streams.size
  }

  /** Begins a stream; false if there are as many as there may be. */
  open(response: ServerResponse): boolean {
    if (this.#streams.size >= (this.#parts.streamsMax ?? STREAMS_MAX)) return false
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'Cross-Origin-Resource-Policy': 'same-origin',
      // nginx would keep the events.
      'X-Accel-Buffering': 'no',
    })
    const stream: Stream = { response, isCurrent: false, sentMs: performance.now() }
    this.#streams.add(stream)
    response.once('close', () => this.#streams.delete(stream))
    response.write(`retry: ${RETRY_MS}\n\n`)
    // The others are told as well: what they have is what all have.
    this.update()
    return true
  }

  /** To be called when numbers may have changed. */
  update(): void {
    if (this.#streams.size === 0) return
    const overview = this.#parts.overview()
    const before = this.#sections
    this.#sections = sectionsOf(overview)
    for (const stream of this.#streams) this.#send(stream, overview, before)
  }

  /** Ends all streams; browsers connect again when they can. */
  close(): void {
    for (const { response } of this.#streams) response.end()
    this.#streams.clear()
  }

  #send(stream: Stream, overview: Overview, before: Sections): void {
    const { response } = stream
    // What was written last has not left this process.
    if (response.writableLength > UNREAD_BYTES_MAX) {
      stream.isCurrent = false
      return
    }
    const entries = Object.entries(this.#sections)
    const changed = stream.isCurrent ? entries.filter(([id, text]) => before[id] !== text) : entries
    const nowMs = performance.now()
    // The time alone is no news: it goes with the next one, or with the ping.
    const isNews = changed.some(([id]) => id !== 'asof')
    if (!isNews && nowMs - stream.sentMs < PING_MS) return
    const data = JSON.stringify({ title: titleOf(overview), parts: Object.fromEntries(changed) })
    response.write(`data: ${data}\n\n`)
    stream.isCurrent = true
    stream.sentMs = nowMs
  }
}

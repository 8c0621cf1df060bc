// `/regions` on the DERP port: asks the control thread, which alone knows countries and the fleet, for the ranking of regions for the
// client that asks. Runs on a relay thread.
//
// Contract: questions are few, in a second and at a time, whatever is asked; the rest is told to come back. Nobody learns of
// other addresses than the own one.

import type { HttpHead } from '#protocol/http-head.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { textPage, type HttpPage } from '#transport/http-pages.ts'

export const REGIONS_PATH = '/regions'

/** Of one thread. A client asks once at its start; each question is a message to the control thread and one back. */
const QUESTIONS_PER_SECOND_MAX = 50
/** More wait only if the control thread does not answer. */
const WAITING_MAX = 64
/** The table of countries takes a tenth of a second to load. */
const ANSWER_TIMEOUT_MS = 5_000

/** A question on its way to the control thread. */
export interface RegionsQuestion {
  /** Unique among the questions of one thread. */
  readonly id: number
  /** Sixteen bytes. */
  readonly ip: Uint8Array
}

export interface RemoteRegionsParts {
  /** The operator wants the page on this port. */
  readonly isServed: boolean
  /** Sends a question to the control thread; the answer comes by `answered`. */
  readonly ask: (question: RegionsQuestion) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class RemoteRegions {
  readonly #parts: RemoteRegionsParts
  readonly #budget: TokenBucket
  readonly #waiting = new Map<number, (page: HttpPage) => void>()
  #nextId = 0

  constructor(parts: RemoteRegionsParts) {
    this.#parts = parts
    this.#budget = new TokenBucket(QUESTIONS_PER_SECOND_MAX, QUESTIONS_PER_SECOND_MAX, parts.now())
  }

  /** @param ip of the client, sixteen bytes, borrowed for the call */
  page({ firstLine }: HttpHead, ip: Uint8Array): HttpPage | Promise<HttpPage> {
    const { isServed, ask, now } = this.#parts
    if (!isServed)
      return textPage('404 Not Found', 'no ranking of regions on this port; see -serve-regions\n')
    if (firstLine[0] !== 'GET' && firstLine[0] !== 'HEAD')
      return textPage('405 Method Not Allowed', 'only GET and HEAD are allowed\n', [['Allow', 'GET, HEAD']])
    if (firstLine[1].includes('?'))
      return textPage(
        '400 Bad Request',
        'no query on this port: the regions are ranked for the address that asks\n',
      )
    if (this.#waiting.size >= WAITING_MAX || !this.#budget.tryTake(1, now())) return busy()
    const id = this.#nextId++
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#end(id, busy()), ANSWER_TIMEOUT_MS)
      this.#waiting.set(id, (page) => {
        clearTimeout(timer)
        resolve(page)
      })
      ask({ id, ip: new Uint8Array(ip) })
    })
  }

  /** The control thread's answer, JSON; undefined: it has none. */
  answered(id: number, json: string | undefined): void {
    this.#end(
      id,
      json === undefined ? textPage('404 Not Found', 'this relay has no regions file\n') : ranking(json),
    )
  }

  #end(id: number, page: HttpPage): void {
    const resolve = this.#waiting.get(id)
    this.#waiting.delete(id)
    resolve?.(page)
  }
}

function busy(): HttpPage {
  return textPage('503 Service Unavailable', 'too many requests\n', [['Retry-After', '1']])
}

/** A web page may read it: it says nothing that its visitor could not ask for. */
function ranking(body: string): HttpPage {
  const fields = [
    ['Content-Type', 'application/json'],
    ['Cache-Control', 'private, max-age=60'],
    ['X-Content-Type-Options', 'nosniff'],
    ['Access-Control-Allow-Origin', '*'],
  ] as const
  return { status: '200 OK', fields, body }
}

// Pages that the control thread makes and every relay thread answers on the DERP port, such as the fleet's DERP map. They are
// made once for each change; an answer is a copy of bytes that are there. No I/O.
//
// Contract: whatever is asked, and however often, the work is bounded and packets go on. What is no page is plain text, and
// never JSON: Headscale takes any JSON object for a map.

import type { HttpHead } from '#protocol/http-head.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { textPage, type HttpPage } from './http-pages.ts'

export interface PublishedPage {
  readonly path: string
  readonly status: 200 | 404
  readonly body: string
  /** With its entity tag, if it has one, as `ETag`. */
  readonly fields: readonly (readonly [string, string])[]
}

/**
 * Of one thread. A control server asks once in minutes. A page of a large fleet has 30 KB, so what is more would be traffic
 * that is worth an attack.
 */
const ANSWERS_PER_SECOND_MAX = 1_000
/** A page counts as one answer for each of these: that of the largest file has two megabytes, which are copied for each answer. */
const PAGE_BYTES = 32_768

export class PublishedPages {
  readonly #now: () => number
  readonly #budget: TokenBucket
  #pages: ReadonlyMap<string, PublishedPage> = new Map()

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now
    this.#budget = new TokenBucket(ANSWERS_PER_SECOND_MAX, ANSWERS_PER_SECOND_MAX, now())
  }

  /** All pages from now on. */
  use(pages: readonly PublishedPage[]): void {
    this.#pages = new Map(pages.map((page) => [page.path, page]))
  }

  /** Undefined if there is no such page. */
  answer(path: string, { firstLine, fields }: HttpHead): HttpPage | undefined {
    const page = this.#pages.get(path)
    if (page === undefined) return undefined
    if (firstLine[0] !== 'GET' && firstLine[0] !== 'HEAD') {
      return textPage('405 Method Not Allowed', 'only GET and HEAD are allowed\n', [['Allow', 'GET, HEAD']])
    }
    const [, etag] = page.fields.find(([name]) => name === 'ETag') ?? []
    const isKnown = etag !== undefined && hasTag(fields.get('if-none-match'), etag)
    if (!this.#budget.tryTake(isKnown ? 1 : costOf(page), this.#now())) {
      return textPage('503 Service Unavailable', 'too many requests\n', [['Retry-After', '1']])
    }
    if (isKnown) {
      return { status: '304 Not Modified', fields: page.fields, body: undefined }
    }
    return { status: page.status === 200 ? '200 OK' : '404 Not Found', fields: page.fields, body: page.body }
  }
}

function costOf({ body }: PublishedPage): number {
  return Math.min(ANSWERS_PER_SECOND_MAX, Math.max(1, Math.ceil(body.length / PAGE_BYTES)))
}

/** Weak tags match as well: intermediaries that compress make them so. */
function hasTag(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = new Set((ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, '')))
  return tags.has(etag) || tags.has('*')
}

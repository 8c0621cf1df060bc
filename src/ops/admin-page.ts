// What a page of the admin port is asked, and what it answers.

import type { ServerResponse } from 'node:http'

export interface AdminRequest {
  readonly path: string
  readonly query: URLSearchParams
  /** The `Accept` header. */
  readonly accept: string | undefined
  /** The `If-None-Match` header. */
  readonly ifNoneMatch: string | undefined
  /** Who asks; undefined: the connection has ended. */
  readonly remoteAddress?: string | undefined
  /** The `Host` header. */
  readonly host: string | undefined
  /** It asks as a browser does. */
  readonly isBrowser?: boolean
}

export interface PageAnswer {
  readonly status: number
  readonly contentType: string
  readonly text: string
  /** Besides those of every answer, or in their place. */
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer without an end. */
export interface StreamAnswer {
  /** Writes to the response from now on; false if there is no room for another stream. */
  open(response: ServerResponse): boolean
}

export interface Page {
  readonly path: string
  /** The page's description in the index. */
  readonly about: string
  answer(request: AdminRequest): PageAnswer | StreamAnswer | Promise<PageAnswer>
}

// The status page on the admin port: the page, its numbers as JSON, and its stream. Each is made once for an overview, however
// many ask. What they show is made in status-page.ts; the check of who asks is browser-guard.ts.

import type { AdminRequest, Page, PageAnswer, StreamAnswer } from './admin-page.ts'
import { hostProblem } from './browser-guard.ts'
import { overviewJson, type Overview } from './overview.ts'
import { HTML_TYPE, STATUS_HEADERS, statusPage } from './status-page.ts'
import type { StatusStream } from './status-stream.ts'

export interface StatusSource {
  /** The same value until there is a newer one. */
  overview(): Overview
  readonly stream: Pick<StatusStream, 'open'>
  /** By which browsers may ask for the page, besides addresses and localhost. */
  readonly names: readonly string[]
}

export class StatusPages {
  readonly pages: readonly Page[]
  readonly #source: StatusSource
  readonly #html = new LastText(statusPage)
  readonly #json = new LastText(overviewJson)

  constructor(source: StatusSource) {
    this.#source = source
    this.pages = [
      {
        path: '/status',
        about: 'the status page of this relay and its fleet, for browsers',
        answer: (request) => this.page(request),
      },
      {
        path: '/status.json',
        about: 'its numbers as JSON',
        answer: () => ({
          status: 200,
          contentType: 'application/json',
          text: this.#json.of(source.overview()),
        }),
      },
      {
        path: '/status/events',
        about: 'its changes as server-sent events',
        answer: (request): PageAnswer | StreamAnswer =>
          this.refusal(request) ?? { open: (response) => source.stream.open(response) },
      },
    ]
  }

  page(request: AdminRequest): PageAnswer {
    return (
      this.refusal(request) ?? {
        status: 200,
        contentType: HTML_TYPE,
        text: this.#html.of(this.#source.overview()),
        headers: STATUS_HEADERS,
      }
    )
  }

  /** 421: asked of the wrong host; undefined: of this one. */
  refusal({ host }: AdminRequest): PageAnswer | undefined {
    const problem = hostProblem(host, this.#source.names)
    if (problem === undefined) return undefined
    return { status: 421, contentType: 'text/plain; charset=utf-8', text: `${problem}\n` }
  }
}

export function wantsHtml(accept: string | undefined): boolean {
  return (accept ?? '').toLowerCase().includes('text/html')
}

/** A text of the overview that was asked for last. */
class LastText {
  readonly #make: (overview: Overview) => string
  #known: { readonly overview: Overview; readonly text: string } | undefined = undefined

  constructor(make: (overview: Overview) => string) {
    this.#make = make
  }

  of(overview: Overview): string {
    if (this.#known?.overview === overview) return this.#known.text
    const text = this.#make(overview)
    this.#known = { overview, text }
    return text
  }
}

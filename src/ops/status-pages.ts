// The status page on the admin port: the page, its numbers as JSON, and its stream. What they show is made in
// status-page.ts; the check of who asks is browser-guard.ts.

import type { AdminRequest, Page, PageAnswer, StreamAnswer } from './admin-page.ts'
import { hostProblem } from './browser-guard.ts'
import { overviewJson, type Overview } from './overview.ts'
import { HTML_TYPE, STATUS_HEADERS, statusPage } from './status-page.ts'
import type { StatusStream } from './status-stream.ts'

export interface StatusSource {
  overview(): Overview
  readonly stream: Pick<StatusStream, 'open'>
  /** By which browsers may ask for the page, besides addresses and localhost. */
  readonly names: readonly string[]
}

export function statusPages(source: StatusSource): readonly Page[] {
  return [
    {
      path: '/status',
      about: 'the status page of this relay and its fleet, for browsers',
      answer: (request) => statusAnswer(request, source),
    },
    {
      path: '/status.json',
      about: 'its numbers as JSON',
      answer: () => ({
        status: 200,
        contentType: 'application/json',
        text: overviewJson(source.overview()),
      }),
    },
    {
      path: '/status/events',
      about: 'its changes as server-sent events',
      answer: (request): PageAnswer | StreamAnswer =>
        refusal(request, source) ?? { open: (response) => source.stream.open(response) },
    },
  ]
}

export function statusAnswer(request: AdminRequest, source: StatusSource): PageAnswer {
  return (
    refusal(request, source) ?? {
      status: 200,
      contentType: HTML_TYPE,
      text: statusPage(source.overview()),
      headers: STATUS_HEADERS,
    }
  )
}

export function wantsHtml(accept: string | undefined): boolean {
  return (accept ?? '').toLowerCase().includes('text/html')
}

/** 421: asked of the wrong host. */
function refusal({ host }: AdminRequest, { names }: StatusSource): PageAnswer | undefined {
  const problem = hostProblem(host, names)
  if (problem === undefined) return undefined
  return { status: 421, contentType: 'text/plain; charset=utf-8', text: `${problem}\n` }
}

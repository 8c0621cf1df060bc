// The pages of the admin port: path → answer, as data. All pages are read-only and are meant for operators and their
// tools. HTTP is `admin-server.ts`.

import { acceptedFormat } from './exposition.ts'
import type { AdminRequest, Page, PageAnswer, StreamAnswer } from './admin-page.ts'
import { clientPages, type ClientsSource } from './client-pages.ts'
import { reportText, type Health } from './health.ts'
import { mapPages, type MapSource } from './map-pages.ts'
import { derperPages, type DerperSource } from './derper-pages.ts'
import type { Metrics } from './metrics.ts'
import { regionPages, type RegionsSource } from './region-pages.ts'
import { qualityJson, type RelayQuality } from './relay-quality.ts'
import { ReusedAnswer } from './reused-answer.ts'
import { StatusPages, wantsHtml, type StatusSource } from './status-pages.ts'
import type { Varz } from './varz.ts'

export interface AdminPagesParts {
  readonly metrics: Metrics
  readonly varz: Varz
  readonly health: Health
  /** Undefined without a regions file. */
  readonly map?: MapSource | undefined
  /** Undefined without a regions file. */
  readonly regions?: RegionsSource | undefined
  /** Undefined: this relay has no status page. */
  readonly status?: StatusSource | undefined
  /** Undefined: this relay does not tell. */
  readonly clients?: (ClientsSource & DerperSource) | undefined
  /** JSON of the fleet's state. */
  readonly fleet: () => string
  readonly quality: () => RelayQuality
  /** The metrics were read. */
  readonly onScraped?: () => void
  /** The program's version, for the index. */
  readonly version: string
}

const PLAIN = 'text/plain; charset=utf-8'
/** Probes of all kinds ask for these, by any name, and they say little. */
const PROBED: ReadonlySet<string> = new Set(['/livez', '/readyz'])

export class AdminPages {
  readonly #parts: AdminPagesParts
  readonly #status: StatusPages | undefined
  readonly #pages: readonly Page[]

  constructor(parts: AdminPagesParts) {
    this.#parts = parts
    this.#status = parts.status && new StatusPages(parts.status)
    const reused = (): ReusedAnswer<PageAnswer> => new ReusedAnswer()
    const metrics = { classic: reused(), openMetrics: reused() }
    const [varz, quality, fleet] = [reused(), reused(), reused()]
    this.#pages = [
      {
        path: '/',
        about: 'this index; for browsers, the status page',
        answer: (request) => this.#root(request),
      },
      ...(this.#status?.pages ?? []),
      {
        path: '/metrics',
        about: 'metrics for Prometheus, as text or OpenMetrics',
        answer: async ({ accept }) =>
          await metrics[acceptedFormat(accept)].answer(() => this.#metrics(accept)),
      },
      {
        path: '/quality',
        about: 'what this relay measures of itself, its links and its clients, as JSON',
        answer: async () => await quality.answer(() => json(qualityJson(this.#parts.quality()))),
      },
      {
        path: '/livez',
        about: '200 while the process responds',
        answer: () => ({ status: 200, contentType: PLAIN, text: 'live\n' }),
      },
      {
        path: '/readyz',
        about:
          '200 if this relay can serve clients, else 503 and the failing checks; ?verbose lists all checks',
        answer: (request) => this.#ready(request),
      },
      {
        path: '/fleet',
        about: 'all relays of the fleet as this relay knows them, as JSON',
        answer: async () => await fleet.answer(() => json(this.#parts.fleet())),
      },
      {
        path: '/debug/varz',
        about: "metrics under derper's names",
        answer: async () => await varz.answer(() => this.#varz()),
      },
      ...(parts.clients === undefined ? [] : [...clientPages(parts.clients), ...derperPages(parts.clients)]),
      ...(parts.map === undefined ? [] : mapPages(parts.map)),
      ...(parts.regions === undefined ? [] : regionPages(parts.regions)),
    ]
  }

  /** The page's answer; undefined if there is no such page. */
  async answer(request: AdminRequest): Promise<PageAnswer | StreamAnswer | undefined> {
    const page = this.#pages.find(({ path }) => path === request.path)
    const isChecked = request.isBrowser === true && !PROBED.has(request.path)
    return (isChecked ? this.#status?.refusal(request) : undefined) ?? page?.answer(request)
  }

  #root(request: AdminRequest): PageAnswer {
    return this.#status !== undefined && wantsHtml(request.accept)
      ? this.#status.page(request)
      : this.#index()
  }

  #index(): PageAnswer {
    const width = Math.max(...this.#pages.map(({ path }) => path.length))
    const lines = this.#pages.map(({ path, about }) => `${path.padEnd(width)}  ${about}\n`)
    return {
      status: 200,
      contentType: PLAIN,
      text: `derpfleet ${this.#parts.version}\n\n${lines.join('')}`,
    }
  }

  async #metrics(accept: string | undefined): Promise<PageAnswer> {
    const page = await this.#parts.metrics.page(accept)
    this.#parts.onScraped?.()
    return { status: 200, ...page }
  }

  async #varz(): Promise<PageAnswer> {
    const page = await this.#parts.varz.page()
    this.#parts.onScraped?.()
    return { status: 200, ...page }
  }

  #ready({ query, accept }: AdminRequest): PageAnswer {
    const report = this.#parts.health.report()
    const status = report.isReady ? 200 : 503
    if (wantsJson(accept)) {
      return { status, contentType: 'application/json', text: `${JSON.stringify(report)}\n` }
    }
    const text = reportText(report, query.has('verbose') ? 'all' : 'failing')
    return { status, contentType: PLAIN, text }
  }
}

function json(text: string): PageAnswer {
  return { status: 200, contentType: 'application/json', text }
}

function wantsJson(accept: string | undefined): boolean {
  const types = (accept ?? '').split(',').map((range) => range.split(';')[0]?.trim().toLowerCase())
  return types.includes('application/json')
}

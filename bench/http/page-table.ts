// Figures of pages as Markdown. Shows what was measured and leaves the judgement to the reader; errors are shown with
// their reasons, since there should be none.

import { markdownTable } from '../markdown-table.ts'
import type { PageFigures } from './measure-pages.ts'

const HEADINGS = [
  'page',
  'requests/s',
  'p50 ms',
  'p99 ms',
  'max ms',
  'first ms',
  'relay µs/request',
  'errors',
  'timeouts',
  'non-2xx',
  'unanswered',
]

/** One row for each page; `note` adds a column of its own. */
export function pageTable<Figures extends PageFigures>(
  all: readonly Figures[],
  note?: { readonly heading: string; readonly of: (figures: Figures) => string },
): string {
  const rows = all.map((figures) => [...cells(figures), ...(note === undefined ? [] : [note.of(figures)])])
  const headings = [...HEADINGS, ...(note === undefined ? [] : [note.heading])]
  return `${markdownTable(headings, 1, rows)}\n`
}

/** The page's address in words. */
export function pageName({ page }: PageFigures): string {
  return `${page.path} (${page.on === 'derp' ? 'DERP port' : 'admin port'})`
}

function cells(figures: PageFigures): string[] {
  const { latencyMs, serverCpuUs } = figures
  return [
    pageName(figures),
    Math.round(figures.requestsPerSecond).toLocaleString('en'),
    ...[latencyMs?.p50, latencyMs?.p99, latencyMs?.max].map((ms) => ms?.toFixed(1) ?? '–'),
    figures.firstAnswerMs.toFixed(1),
    serverCpuUs === undefined ? '–' : serverCpuUs.toFixed(0),
    withReasons(figures.errors, figures.errorTexts),
    `${figures.timeouts}`,
    withReasons(figures.non2xx, figures.statuses),
    `${figures.unanswered}`,
  ]
}

function withReasons(count: number, reasons: Readonly<Record<string, number>>): string {
  if (count === 0) return '0'
  const list = Object.entries(reasons).map(([reason, times]) => `${reason} × ${times}`)
  return `${count} (${list.join(', ')})`
}

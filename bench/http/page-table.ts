// Results of pages as a Markdown table. Errors are shown with their reasons, since no errors are expected.

import { markdownTable } from '../markdown-table.ts'
import type { PageResult } from './measure-pages.ts'

const HEADINGS = [
  'page',
  'requests/s',
  'p50 ms',
  'p99 ms',
  'max ms',
  'first response ms',
  'relay µs/request',
  'errors',
  'timeouts',
  'non-2xx',
  'unanswered',
]

/** One row per page; `note` adds a column. */
export function pageTable<Result extends PageResult>(
  all: readonly Result[],
  note?: { readonly heading: string; readonly of: (result: Result) => string },
): string {
  const rows = all.map((result) => [...cells(result), ...(note === undefined ? [] : [note.of(result)])])
  const headings = [...HEADINGS, ...(note === undefined ? [] : [note.heading])]
  return `${markdownTable(headings, 1, rows)}\n`
}

/** The page's path and port. */
export function pageName({ page }: PageResult): string {
  return `${page.path} (${page.on === 'derp' ? 'DERP port' : 'admin port'})`
}

function cells(result: PageResult): string[] {
  const { latencyMs, serverCpuUs } = result
  return [
    pageName(result),
    Math.round(result.requestsPerSecond).toLocaleString('en'),
    ...[latencyMs?.p50, latencyMs?.p99, latencyMs?.max].map((ms) => ms?.toFixed(1) ?? '–'),
    result.firstResponseMs.toFixed(1),
    serverCpuUs === undefined ? '–' : serverCpuUs.toFixed(0),
    withReasons(result.errors, result.errorTexts),
    `${result.timeouts}`,
    withReasons(result.non2xx, result.statuses),
    `${result.unanswered}`,
  ]
}

function withReasons(count: number, reasons: Readonly<Record<string, number>>): string {
  if (count === 0) return '0'
  const list = Object.entries(reasons).map(([reason, times]) => `${reason} × ${times}`)
  return `${count} (${list.join(', ')})`
}

// The README's table: of a record the few rows that say most, good or bad. Written between two marks there, the
// first of which names the record, so that a test can tell whether the table still is what was measured.
//
//   node bench/readme-table.ts bench/results/DATE-COMMIT.json

import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Row } from './figure.ts'
import { ratioText, sampleText } from './markdown-report.ts'
import { recordAsked, writeWhole, type Record } from './run-record.ts'
import { ELDER, OURS, RIVAL } from './server.ts'
import { markdownTable } from './markdown-table.ts'

/** Figure, beginning of the row's label, and what it is called in the README; `*` stands for the label. */
const HEADLINES = [
  ['clean-rate', 'clean rate', '*'],
  ['goodput', 'goodput, 10 pairs', 'goodput when far more is offered than fits, 10 pairs'],
  ['goodput', 'goodput, 100 pairs', '– 100 pairs'],
  ['cpu-per-frame', '1420 B', 'CPU per frame: *'],
  ['cpu-per-frame', '128 B', 'CPU per frame: *'],
  ['probe-delay', '50 %', 'delay of a lone packet beside *'],
  ['probe-delay', '100 %', 'delay of a lone packet beside *'],
  ['bystander', "bystander's p99 without", 'p99 of an idle pair, alone'],
  ['bystander', "bystander's p99 with it", '– while eight others flood a slow receiver'],
  ['logins', 'logins per CPU-second', '*'],
  ['memory', 'fresh', 'memory per idle TLS connection: *'],
  ['memory', 'after', 'memory per idle TLS connection: *'],
  ['storm', 'failed logins', 'failed logins when 10,000 clients come back at once'],
  ['storm', "early pair's p99", '– p99 of a pair that is back early'],
  ['stun', 'p99 unloaded', "STUN's p99, alone"],
  ['stun', 'p99 under saturation', '– while the relay is saturated'],
] as const

const MARK = /<!-- figures: (\S+\.json) -->\n[\s\S]*?\n<!-- \/figures -->/

function headlineOf(record: Record): string {
  const lines = HEADLINES.flatMap(([figure, label, name]) =>
    (record.figures[figure]?.rows ?? [])
      .filter((row) => row.label.startsWith(label) && row.unit !== '×')
      .map((row) => lineOf(row, name.replace('*', row.label))),
  )
  const headings = ['', 'unit', ELDER, RIVAL, OURS, `÷ ${RIVAL}`]
  return markdownTable(headings, 2, lines)
}

function lineOf(row: Row, name: string): string[] {
  const median = (server: string): string => {
    const sample = row.samples[server]
    return sampleText(row, sample && { ...sample, rounds: [sample.median] })
  }
  const ratio = ratioText(row.samples[OURS], row.samples[RIVAL])
  return [name, row.unit, median(ELDER), median(RIVAL), `**${median(OURS)}**`, ratio]
}

/** The README with the table of the record there. @throws Error when the README has no place for it */
export function withHeadline(readme: string, path: string, record: Record): string {
  if (!MARK.test(readme))
    throw new Error('README.md: expected <!-- figures: RECORD.json --> and <!-- /figures -->')
  return readme.replace(MARK, () => `<!-- figures: ${path} -->\n\n${headlineOf(record)}\n\n<!-- /figures -->`)
}

/** Path of the record that the README's table is of. */
export function headlineSource(readme: string): string | undefined {
  return MARK.exec(readme)?.[1]
}

if (import.meta.main) {
  const asked = await recordAsked('readme-table.ts')
  if (asked !== undefined) {
    const root = join(import.meta.dirname, '..')
    const readme = join(root, 'README.md')
    const text = await readFile(readme, 'utf8')
    await writeWhole(readme, withHeadline(text, relative(root, asked.path), asked.record))
  }
}

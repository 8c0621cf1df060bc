// The table of the README: the most important rows of a record, good or bad. It is written between two marks in the
// README. The first mark names the record, so that a test can compare the table with the record.
//
//   node bench/readme-table.ts bench/results/DATE-COMMIT.json

import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Row } from './figure.ts'
import { ratioText, sampleText } from './markdown-report.ts'
import { recordFromArguments, replaceFile, type RunRecord } from './run-record.ts'
import { OLD_DERPER, DERPFLEET, DERPER } from './server.ts'
import { markdownTable } from './markdown-table.ts'

/** Figure, beginning of the row's label, and the label in the README; `*` stands for the row's label. */
const README_ROWS = [
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
  ['base-memory', 'package, relay threads: 2', 'memory of a relay without clients, with two threads'],
  ['departure', "probe's longest delay", "a pair's longest delay while 12,000 clients leave at once"],
  ['forwarding', 'two ', 'CPU per packet from one relay to another: *'],
  ['forwarding', 'half of it', 'CPU per packet from one relay to another: *'],
  ['hundred-thousand', 'resident memory per client', '100,000 clients on one relay: *'],
  ['hundred-thousand', 'idle processor time', '100,000 clients on one relay: *'],
  ['hundred-thousand', "probe's p99", '100,000 clients on one relay: *'],
  ['storm', 'failed logins', 'failed logins when 10,000 clients come back at once'],
  ['storm', "early pair's p99", '– p99 of a pair that is back early'],
  ['stun', 'p99 unloaded', "STUN's p99, alone"],
  ['stun', 'p99 under saturation', '– while the relay is saturated'],
] as const

const MARK = /<!-- figures: (\S+\.json) -->\n[\s\S]*?\n<!-- \/figures -->/

function readmeTable(record: RunRecord): string {
  const measured = new Set(record.servers.map(({ name }) => name))
  const others = [OLD_DERPER, DERPER].filter((name) => measured.has(name))
  const lines = README_ROWS.flatMap(([figure, label, name]) =>
    (record.figures[figure]?.rows ?? [])
      .filter((row) => row.label.startsWith(label) && row.unit !== '×')
      .map((row) => lineOf(row, name.replace('*', row.label), others)),
  )
  const headings = ['', 'unit', ...others, DERPFLEET, `÷ ${DERPER}`]
  return markdownTable(headings, 2, lines)
}

function lineOf(row: Row, name: string, others: readonly string[]): string[] {
  const median = (server: string): string => {
    const sample = row.samples[server]
    return sampleText(row, sample && { ...sample, rounds: [sample.median] })
  }
  const ratio = ratioText(row.samples[DERPFLEET], row.samples[DERPER])
  return [name, row.unit, ...others.map(median), `**${median(DERPFLEET)}**`, ratio]
}

/** The README with the table of the record. @throws Error if the README has no marks */
export function withReadmeTable(readme: string, path: string, record: RunRecord): string {
  if (!MARK.test(readme))
    throw new Error('README.md: expected <!-- figures: RECORD.json --> and <!-- /figures -->')
  return readme.replace(
    MARK,
    () => `<!-- figures: ${path} -->\n\n${readmeTable(record)}\n\n<!-- /figures -->`,
  )
}

/** The path of the record that the README's table was made from. */
export function readmeTableSource(readme: string): string | undefined {
  return MARK.exec(readme)?.[1]
}

if (import.meta.main) {
  const asked = await recordFromArguments('readme-table.ts')
  if (asked !== undefined) {
    const root = join(import.meta.dirname, '..')
    const readme = join(root, 'README.md')
    const text = await readFile(readme, 'utf8')
    await replaceFile(readme, withReadmeTable(text, relative(root, asked.path), asked.record))
  }
}

// A record as Markdown: one table per figure with servers side by side, targets and whether they were reached, and what
// is needed to judge and to repeat the run.

import type { FigureResult, Row } from './figure.ts'
import type { RunRecord } from './run-record.ts'
import type { Sample } from './sample.ts'
import { DERPFLEET } from './server.ts'
import { markdownTable } from './markdown-table.ts'

export function markdownReport(record: RunRecord): string {
  const figures = Object.values(record.figures)
  return [
    `# derpfleet measured beside ${record.reference}`,
    headOf(record),
    summaryOf(figures),
    ...figures.map((figure) => figureText(record, figure)),
    methodOf(record),
  ].join('\n\n')
}

function headOf({ started, commit, machine, effort }: RunRecord): string {
  const rounds = `${effort.rounds} interleaved rounds of ${effort.seconds} s`
  return [
    `- date: ${started.slice(0, 10)}, commit ${commit}${effort.isQuick ? ', **a quick run: not accurate, do not quote**' : ''}`,
    `- machine: ${machine.cpu}, ${machine.cpuCount} processors, ${machine.memoryGb} GB, ${machine.kernel}`,
    `- Node ${machine.node}, OpenSSL ${machine.openssl}`,
    `- medians of ${rounds} unless noted otherwise; in parentheses the smallest and the largest round`,
  ].join('\n')
}

function summaryOf(figures: readonly FigureResult[]): string {
  const targets = figures.flatMap(({ rows }) => rows).filter(({ target }) => target !== undefined)
  const count = (isHeld: boolean | undefined): number =>
    targets.filter(({ target }) => target?.isHeld === isHeld).length
  const missed = targets
    .filter(({ target }) => target?.isHeld === false)
    .map(({ label, target }) => `${label} (${target?.text})`)
  const unknown = count(undefined) === 0 ? '' : `, ${count(undefined)} unknown`
  const list = missed.length === 0 ? '' : ` Missed: ${missed.join('; ')}.`
  return `Targets: ${count(true)} held, ${count(false)} missed${unknown}.${list}`
}

function figureText(record: RunRecord, figure: FigureResult): string {
  const marks = figure.marks.map((mark) => `- doubtful: ${mark}`).join('\n')
  const parts = [
    `## ${figure.title}`,
    figure.rows.length === 0 ? '' : tableOf(record, figure),
    [...figure.notes, ...repeatsText(figure.repeats)].join(' '),
    marks,
  ]
  if (figure.commands.length > 0) parts.push(['```', ...figure.commands, '```'].join('\n'))
  return parts.filter((part) => part !== '').join('\n\n')
}

function repeatsText(repeats: number): string[] {
  if (repeats === 0) return []
  return [
    `${repeats} rounds were repeated because the host of this virtual machine took processor time during them, or its other work slowed the processor.`,
  ]
}

function tableOf(record: RunRecord, { rows }: FigureResult): string {
  const servers = record.servers
    .map(({ name }) => name)
    .filter((name) => rows.some(({ samples }) => name in samples))
  const others = servers.filter((name) => name !== DERPFLEET)
  const headings = [
    '',
    'unit',
    ...servers,
    ...others.map((name) => `${DERPFLEET} / ${name}`),
    'target',
    'held',
  ]
  const lines = rows.map((row) => [
    row.label,
    row.unit,
    ...servers.map((name) => sampleText(row, row.samples[name])),
    ...others.map((name) => ratioText(row.samples[DERPFLEET], row.samples[name])),
    row.target?.text ?? '',
    targetText(row),
  ])
  return markdownTable(headings, 2, lines)
}

function targetText({ target }: Row): string {
  if (target === undefined) return ''
  return target.isHeld === undefined ? '?' : target.isHeld ? 'yes' : '**no**'
}

export function sampleText(row: Row, sample: Sample | undefined): string {
  if (sample === undefined) return '–'
  const median = numberText(sample.median, row.digits)
  if (sample.rounds.length < 2) return median
  return `${median} (${numberText(sample.min, row.digits)}–${numberText(sample.max, row.digits)})`
}

function numberText(value: number | null, digits: number): string {
  // JSON has no NaN: a record from a file has null instead.
  if (value === null || Number.isNaN(value)) return '–'
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export function ratioText(ours: Sample | undefined, theirs: Sample | undefined): string {
  const ratio = (ours?.median ?? Number.NaN) / (theirs?.median ?? Number.NaN)
  return Number.isFinite(ratio) ? ratio.toFixed(2) : '–'
}

function methodOf({ commandLine, servers, machine }: RunRecord): string {
  const tcp = Object.entries(machine.tcp).map(([name, value]) => `${name} ${value}`)
  return [
    '## How it was measured',
    'docs/benchmarks.md explains each figure. This run:',
    ['```', commandLine, ...servers.map(({ name, command }) => `# ${name}: ${command}`), '```'].join('\n'),
    `TCP settings: ${tcp.join('; ')}.\n`,
  ].join('\n\n')
}

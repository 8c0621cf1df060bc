// Plots of a record as SVG: goodput against the offered rate, CPU per frame, delays of the probe, memory per
// connection. Readable on light and dark pages, made from the record alone, without a library.
//
//   node bench/plots.ts bench/results/DATE-COMMIT.json

import { basename, dirname, join } from 'node:path'
import type { FigureResult, Row, Series } from './figure.ts'
import { recordFromArguments, replaceFile, type RunRecord } from './run-record.ts'
import { DERPFLEET } from './server.ts'

const WIDTH = 640
const HEIGHT = 360
const MARGIN = { left: 64, right: 24, top: 48, bottom: 52 }
const PLOT = {
  width: WIDTH - MARGIN.left - MARGIN.right,
  height: HEIGHT - MARGIN.top - MARGIN.bottom,
}
/** Distinct for colour-blind readers, and readable on white and on black. */
const COLOURS = ['#0a84d6', '#e07b00', '#8a8a8a', '#2ca02c', '#b04ad0']
const TEXT_COLOUR = '#808080'

interface Axis {
  readonly title: string
  readonly max: number
  /** The smallest value of a logarithmic axis. Undefined for a linear axis, which begins at 0. */
  readonly logFrom?: number
}

/** File name and SVG text of each plot whose figure is in the record. */
export function plotsOf(record: RunRecord): Map<string, string> {
  const { figures } = record
  const names = record.servers.map(({ name }) => name)
  const plots = new Map<string, string>()
  const add = (name: string, svg: string | undefined): void => {
    if (svg !== undefined) plots.set(`${name}.svg`, svg)
  }
  add('goodput', goodputPlot(figures.goodput, names))
  add('cpu-per-frame', barPlot('CPU time per delivered frame, µs', costRows(figures['cpu-per-frame']), names))
  add('probe-delay', probePlot(figures['probe-delay'], names))
  add('memory', barPlot('Memory per idle TLS connection, KB', memoryRows(figures.memory), names))
  return plots
}

function goodputPlot(figure: FigureResult | undefined, names: readonly string[]): string | undefined {
  const series = seriesNamed(figure, 'goodput')
  if (series === undefined) return undefined
  const all = points(series)
  const most = Math.max(...all.flat())
  return linePlot({
    title: 'Goodput under overload, 10 pairs, Gbit/s',
    x: { title: 'offered, Gbit/s', max: niceMax(Math.max(...all.map(([x]) => x))) },
    y: { title: 'delivered, Gbit/s', max: niceMax(Math.max(...all.map(([, y]) => y), most / 10)) },
    series,
    names,
  })
}

function probePlot(figure: FigureResult | undefined, names: readonly string[]): string | undefined {
  const series = seriesNamed(figure, 'probe-p99')
  if (series === undefined) return undefined
  const all = points(series)
  return linePlot({
    title: 'p99 of a 64-byte probe beside a load, ms',
    x: { title: 'load, packets/s', max: niceMax(Math.max(...all.map(([x]) => x))) },
    y: {
      title: 'p99, ms (logarithmic)',
      max: 10 ** Math.ceil(Math.log10(Math.max(...all.map(([, y]) => y)))),
      logFrom: 10 ** Math.floor(Math.log10(Math.min(...all.map(([, y]) => y)))),
    },
    series,
    names,
  })
}

function costRows(figure: FigureResult | undefined): Row[] {
  return (figure?.rows ?? []).filter(({ unit }) => unit === 'µs/frame')
}

function memoryRows(figure: FigureResult | undefined): Row[] {
  return (figure?.rows ?? []).filter(({ unit }) => unit === 'KB')
}

function seriesNamed(figure: FigureResult | undefined, name: string): Series | undefined {
  const series = figure?.series?.find((each) => each.name === name)
  return series === undefined || points(series).length === 0 ? undefined : series
}

/** The points that have a value: JSON has null instead of NaN. */
function points(series: Series): (readonly [number, number])[] {
  return Object.values(series.points)
    .flat()
    .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && y !== null)
}

interface LinePlot {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: Series
  readonly names: readonly string[]
}

function linePlot({ title, x, y, series, names }: LinePlot): string {
  const shown = names.filter((name) => (series.points[name] ?? []).length > 0)
  const lines = shown.map((name) => {
    const at = (series.points[name] ?? []).map(
      ([px, py]) => `${xOf(x, px).toFixed(1)},${yOf(y, py).toFixed(1)}`,
    )
    const dots = at.map((point) => {
      const [cx, cy] = point.split(',')
      return `<circle cx="${cx}" cy="${cy}" r="3" fill="${colourOf(name, names)}"/>`
    })
    const width = name === DERPFLEET ? 3 : 2
    const path = `<polyline points="${at.join(' ')}" fill="none" stroke="${colourOf(name, names)}" stroke-width="${width}"/>`
    return [path, ...dots].join('')
  })
  return svg(title, [legend(shown, names), yGrid(y), xAxis(x), ...lines])
}

function barPlot(title: string, rows: readonly Row[], names: readonly string[]): string | undefined {
  const shown = names.filter((name) => rows.some(({ samples }) => name in samples))
  const values = rows.flatMap(({ samples }) => shown.map((name) => samples[name]?.median ?? 0))
  if (rows.length === 0 || shown.length === 0) return undefined
  const y: Axis = { title: '', max: niceMax(Math.max(...values)) }
  const group = PLOT.width / rows.length
  const bar = (group * 0.75) / shown.length
  const bars = rows.flatMap((row, i) => {
    const left = MARGIN.left + i * group + group * 0.125
    const drawn = shown.map((name, j) => {
      const value = row.samples[name]?.median ?? 0
      const top = yOf(y, value)
      const x = left + j * bar
      const height = MARGIN.top + PLOT.height - top
      const rect = `<rect x="${x.toFixed(1)}" y="${top.toFixed(1)}" width="${(bar - 3).toFixed(1)}" height="${height.toFixed(1)}" fill="${colourOf(name, names)}"/>`
      return (
        rect +
        text({ x: x + (bar - 3) / 2, y: top - 4, anchor: 'middle' }, value.toFixed(value < 100 ? 1 : 0))
      )
    })
    return [...drawn, ...wrapped(row.label, left + group * 0.375, group)]
  })
  return svg(title, [legend(shown, names), yGrid(y), ...bars])
}

/** The label under a group of bars, in at most three lines. */
function wrapped(label: string, x: number, width: number): string[] {
  const charsMax = Math.floor(width / 6.2)
  const lines: string[] = []
  for (const word of label.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < charsMax)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
    .slice(0, 3)
    .map((line, i) => text({ x, y: MARGIN.top + PLOT.height + 16 + 14 * i, anchor: 'middle' }, line))
}

function xOf({ max }: Axis, value: number): number {
  return MARGIN.left + (value / max) * PLOT.width
}

function yOf({ max, logFrom }: Axis, value: number): number {
  const share = logFrom === undefined ? value / max : Math.log(value / logFrom) / Math.log(max / logFrom)
  return MARGIN.top + PLOT.height - Math.max(0, share) * PLOT.height
}

/** The horizontal grid lines and their values. */
function yGrid(axis: Axis): string {
  const lines = ticksOf(axis).map((value) => {
    const y = yOf(axis, value).toFixed(1)
    const line = `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y}" y2="${y}" stroke="${TEXT_COLOUR}" stroke-opacity="0.3"/>`
    return line + text({ x: MARGIN.left - 8, y: Number(y) + 4, anchor: 'end' }, numberText(value))
  })
  const title = axis.title === '' ? '' : text({ x: 12, y: MARGIN.top - 10, anchor: 'start' }, axis.title)
  return lines.join('') + title
}

function xAxis(axis: Axis): string {
  const labels = ticksOf(axis).map((value) =>
    text({ x: xOf(axis, value), y: MARGIN.top + PLOT.height + 18, anchor: 'middle' }, numberText(value)),
  )
  return (
    labels.join('') + text({ x: MARGIN.left + PLOT.width / 2, y: HEIGHT - 12, anchor: 'middle' }, axis.title)
  )
}

function ticksOf({ max, logFrom }: Axis): number[] {
  if (logFrom === undefined) return [0, 1, 2, 3, 4].map((i) => (max * i) / 4)
  const decades = Math.round(Math.log10(max / logFrom))
  return Array.from({ length: decades + 1 }, (_, i) => logFrom * 10 ** i)
}

/** The next larger number that gives short labels when it is divided into four parts. */
function niceMax(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  const step = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8].find((each) => each * power >= value)
  return power * (step ?? 10)
}

function numberText(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 4 })
}

function legend(shown: readonly string[], names: readonly string[]): string {
  let x = MARGIN.left + PLOT.width
  const entries = shown.toReversed().map((name) => {
    x -= name.length * 6.6 + 26
    const mark = `<rect x="${x.toFixed(1)}" y="28" width="10" height="10" fill="${colourOf(name, names)}"/>`
    return mark + text({ x: x + 15, y: 37, anchor: 'start' }, name)
  })
  return entries.join('')
}

function colourOf(name: string, names: readonly string[]): string {
  return COLOURS[names.indexOf(name) % COLOURS.length] ?? TEXT_COLOUR
}

function text(at: { x: number; y: number; anchor: 'start' | 'middle' | 'end' }, content: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${at.x.toFixed(1)}" y="${at.y.toFixed(1)}" text-anchor="${at.anchor}" fill="${TEXT_COLOUR}">${escaped}</text>`
}

function svg(title: string, parts: readonly string[]): string {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${title}">`
  const heading = `<text x="12" y="18" font-size="14" font-weight="600" fill="${TEXT_COLOUR}">${title}</text>`
  return `${[open, heading, ...parts, '</svg>'].join('\n')}\n`
}

if (import.meta.main) {
  const asked = await recordFromArguments('plots.ts')
  if (asked !== undefined) {
    for (const [name, drawn] of plotsOf(asked.record)) {
      const file = join(dirname(asked.path), `${basename(asked.path, '.json')}-${name}`)
      await replaceFile(file, drawn)
      process.stdout.write(`${file}\n`)
    }
  }
}

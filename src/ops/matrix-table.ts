// Round trips between relays as a table: a row for each relay that measures, a column for each that is measured, coloured by
// the time. A large fleet is shown by region, with the median of the links between two. No I/O.

import { markup, type Markup } from './markup.ts'
import { shortName, type Overview, type OverviewLink } from './overview.ts'
import { milliseconds, percent } from './quantity.ts'

/** More columns fit on no screen. */
const RELAYS_MAX = 14
const REGIONS_MAX = 16
/** Milliseconds at which the colour changes: one rack, one city, one country, one continent, an ocean, the world. */
const STEPS_MS = [1, 5, 20, 50, 100, 200] as const
/** Loss from which a cell says so: losses of one in a thousand already slow TCP down. */
const LOSS_SHOWN = 0.001

interface Axis {
  /** Short, for the table's heads. */
  readonly label: string
  readonly title: string
  has(relay: string): boolean
}

/** Undefined with fewer than two relays. */
export function matrixTable(overview: Overview): Markup | undefined {
  const axes = axesOf(overview)
  if (axes.length < 2) return undefined
  const heads = axes.map(({ label, title }) => markup`<th scope="col" title="${title}">${label}</th>`)
  const rows = axes.map((from) => {
    const links = overview.links.filter((link) => from.has(link.from))
    const cells = axes.map((to) => cell(links, from, to))
    return markup`<tr><th scope="row" title="${from.title}">${from.label}</th>${cells}</tr>\n`
  })
  return markup`<table class="heat"><caption>Median round trips in milliseconds, measured from the row to the column</caption>
<thead><tr><td>from \u{2193} to \u{2192}</td>${heads}</tr></thead><tbody>
${rows}</tbody></table>`
}

export function legend(): Markup {
  const names = [
    ...STEPS_MS.map((ms, at) => (at === 0 ? `< ${ms}` : `${STEPS_MS[at - 1]}\u{2013}${ms}`)),
    `> ${STEPS_MS.at(-1)}`,
  ]
  return markup`<ul class="legend" aria-label="Colours, in milliseconds">${names.map((name, at) => markup`<li class="h${at}">${name}</li>`)}</ul>`
}

function axesOf({ relays, regions }: Overview): readonly Axis[] {
  const listed = relays.filter(
    ({ region, isOwn, state }) => region !== undefined || isOwn || state !== 'down',
  )
  if (listed.length <= RELAYS_MAX)
    return listed.map(({ name, nodes }) => ({
      label: nodes[0] ?? shortName(name).split('.', 1)[0] ?? name,
      title: name,
      has: (relay) => relay === name,
    }))
  const inRegion = new Map(listed.map(({ name, region }) => [name, region]))
  return regions.slice(0, REGIONS_MAX).map(({ id, code, name }) => ({
    label: code === '' ? `${id}` : code,
    title: name,
    has: (relay) => inRegion.get(relay) === id,
  }))
}

/** @param links of `from` */
function cell(links: readonly OverviewLink[], from: Axis, to: Axis): Markup {
  const here = links.filter((link) => to.has(link.to))
  const up = here.filter(({ isUp }) => isUp)
  const trips = up.flatMap(({ rttMs }) => (rttMs === undefined ? [] : [rttMs])).toSorted((a, b) => a - b)
  const median = trips[Math.floor(trips.length / 2)]
  if (here.length === 0 && from.title === to.title) return markup`<td class="self"></td>`
  if (here.length > 0 && up.length === 0) return markup`<td class="cut">down</td>`
  if (median === undefined) return markup`<td class="none">\u{2013}</td>`
  const loss = Math.max(...up.map(({ lossRatio = 0 }) => lossRatio))
  const jitter = Math.max(...up.map(({ jitterMs = 0 }) => jitterMs))
  const about = `jitter ${milliseconds(jitter)} ms, loss ${percent(loss)} %`
  return markup`<td class="h${stepOf(median)}" title="${about}">${milliseconds(median)}${
    loss < LOSS_SHOWN ? '' : markup`<small>${percent(loss)} % lost</small>`
  }</td>`
}

function stepOf(ms: number): number {
  const at = STEPS_MS.findIndex((step) => ms < step)
  return at < 0 ? STEPS_MS.length : at
}

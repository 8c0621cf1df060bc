// The parts of the status page that change, each as markup of its own, so that the page's stream sends only what is new. What
// the numbers mean is in docs/status-page.md. No I/O.

import type { RecentEvent } from './event-ring.ts'
import { markup, type Markup } from './markup.ts'
import { matrixTable } from './matrix-table.ts'
import { concernsOf, levelOf, lifeLeft, shortName, type Overview, type OverviewRelay } from './overview.ts'
import { bits, clockTime, count, duration, milliseconds, percent, UNKNOWN } from './quantity.ts'
import { regionClass, stateWord, worldMap } from './world-map.ts'

/** The ids of the page's live parts, and what is in them. */
export type Sections = Readonly<Record<string, string>>

/** A page has room for so many relays; the JSON has them all. */
const RELAYS_MAX = 60
const EVENTS_SHOWN = 12
/** A longer map would be most of the page; it has a link. */
const MAP_CHARS_MAX = 8_000

const WORDS = { serving: 'Serving', draining: 'Draining', notReady: 'Not ready' } as const
const LEVEL_CLASSES = { ok: 'ok', degraded: 'warn', down: 'bad' } as const

export function sectionsOf(overview: Overview): Sections {
  const parts: Readonly<Record<string, Markup | undefined>> = {
    asof: markup`${clockTime(overview.atMs)} UTC`,
    state: stateSection(overview),
    tiles: tiles(overview),
    relays: relayTable(overview),
    matrix: matrixTable(overview) ?? markup`<p class="note">This relay has no siblings.</p>`,
    world: markup`${worldMap(overview) ?? markup`<p class="note">The regions file gives no coordinates.</p>`}${regionList(overview)}`,
    events: events(overview.events),
    paste: paste(overview),
  }
  return Object.fromEntries(Object.entries(parts).map(([id, part]) => [id, part?.text ?? '']))
}

/** Of the page and of its tab. */
export function titleOf({ state, hostname }: Overview): string {
  return `${WORDS[state]} \u{b7} ${hostname}`
}

function stateSection(overview: Overview): Markup {
  const { state, clientsLeft, majority, relays } = overview
  const concerns = concernsOf(overview)
  const up = relays.filter((relay) => relay.state === 'up').length
  const fleet = relays.length < 2 ? 'All checks pass' : `All checks pass; ${up} of ${relays.length} relays up`
  const about = concerns.length === 0 ? fleet : concerns.join(' \u{b7} ')
  const level = levelOf(overview)
  const left = state === 'draining' ? markup` <small>${count(clientsLeft ?? 0)} left</small>` : ''
  return markup`<div class="state ${LEVEL_CLASSES[level]}"><p class="word"><span class="glyph" aria-hidden="true"></span>${WORDS[state]}${left}</p>
<p class="about">${about}</p>${majority.isMajority ? '' : markup`<p class="about">This relay may be the one that is cut off.</p>`}</div>`
}

// ── numbers ──

function tiles(overview: Overview): Markup {
  const { load, headroomRatio, headroomOf } = overview
  const [out, outUnit] = bits(load.bytesOutPerSecond)
  const [incoming, inUnit] = bits(load.bytesInPerSecond)
  const clients = load.curve.map((point) => point.clients)
  const rates = load.curve.map((point) => point.bytesPerSecond)
  const limit = headroomOf === 'capacity' ? 'of the stated capacity' : 'of the busiest thread'
  return markup`${[
    tile({
      name: 'Clients',
      value: count(load.clients),
      note: `${count(load.homeClients)} at home here`,
      figure: curve(clients, 'Clients'),
    }),
    tile({
      name: 'Throughput',
      value: out,
      unit: `${outUnit} out`,
      note: `${incoming} ${inUnit} in \u{b7} ${count(load.packetsOutPerSecond)} packets/s`,
      figure: curve(rates, 'Throughput'),
    }),
    tile({
      name: 'Headroom',
      value: percent(headroomRatio),
      unit: '%',
      note: headroomRatio === undefined ? 'no load to judge by yet' : limit,
      figure: bar(headroomRatio, shareClass(headroomRatio, 0.2, 0.05)),
    }),
    tile({
      name: 'Dropped',
      value: percent(load.dropRatio),
      unit: '%',
      note: load.dropRatio === undefined ? 'no packets in the last minute' : 'of packets, last minute',
      figure: bar(
        load.dropRatio === undefined ? undefined : Math.min(1, load.dropRatio * 10),
        shareClass(load.dropRatio && 1 - load.dropRatio, 0.999, 0.99),
      ),
    }),
    tile({
      name: 'Queue p99',
      value: milliseconds(load.queueP99Ms),
      unit: 'ms',
      note: '99 of 100 packets wait less, last minute',
    }),
    certificateTile(overview),
  ]}`
}

interface Tile {
  readonly name: string
  readonly value: string
  readonly unit?: string
  readonly note: string
  readonly figure?: Markup | undefined
}

function tile({ name, value, unit = '', note, figure }: Tile): Markup {
  const small = unit === '' || value === UNKNOWN ? '' : markup` <small>${unit}</small>`
  return markup`<div class="tile"><h3>${name}</h3><p class="value">${value}${small}</p>${figure}<p class="note">${note}</p></div>\n`
}

function certificateTile({ certificate, certificateFailure, atMs }: Overview): Markup {
  const name = 'Certificate'
  if (certificate === undefined)
    return tile({ name, value: UNKNOWN, note: certificateFailure ?? 'none: this relay serves without TLS' })
  const left = lifeLeft(certificate, atMs)
  const isOver = certificate.notAfterMs <= atMs
  return tile({
    name,
    value: isOver ? 'expired' : duration(certificate.notAfterMs - atMs),
    unit: isOver ? '' : 'left',
    note: certificateFailure ?? `${certificate.hostname}, ${certificate.source.replace('_', '-')}`,
    figure: bar(left, shareClass(left, 0.25, 0.1)),
  })
}

function shareClass(share: number | undefined, warnBelow: number, badBelow: number): string {
  if (share === undefined) return 'off'
  if (share < badBelow) return 'bad'
  return share < warnBelow ? 'warn' : 'ok'
}

/** Text beside it has the number. */
function bar(share: number | undefined, colour: string): Markup {
  const width = Math.round((share ?? 0) * 100)
  return markup`<svg class="bar ${colour}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="4"/><rect width="${width}" height="4"/></svg>`
}

const CURVE = { width: 120, height: 28 }

/** The last ten minutes, or the time since the start; the largest value is the top. */
function curve(values: readonly number[], name: string): Markup {
  const { width, height } = CURVE
  const top = Math.max(1, ...values)
  const at = (value: number, i: number): string => {
    const x = (i * width) / Math.max(1, values.length - 1)
    return `${Math.round(x * 10) / 10} ${Math.round((height - 1 - (value / top) * (height - 3)) * 10) / 10}`
  }
  const line = values.map(at).join('L')
  const start = values.length === 0 ? '' : at(values[0] ?? 0, 0).split(' ')[0]
  const shapes =
    values.length < 2
      ? ''
      : markup`<path class="area" d="M${start} ${height}L${line}L${width} ${height}Z"/><path class="line" d="M${line}"/>`
  return markup`<svg class="curve" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${name} in the last ten minutes">${shapes}</svg>`
}

// ── the fleet ──

function relayTable({ relays, links, atMs }: Overview): Markup {
  const own = relays.find(({ isOwn }) => isOwn)?.name
  const rows = relays.slice(0, RELAYS_MAX).map((relay) => {
    const link = links.find(({ from, to }) => from === own && to === relay.name)
    const trip = relay.isOwn
      ? 'here'
      : link?.isUp === true
        ? withUnit(milliseconds(link.rttMs), 'ms')
        : UNKNOWN
    const [rate, unit] = bits(sum(relay.bytesInPerSecond, relay.bytesOutPerSecond))
    const { certificateNotAfterMs: until } = relay
    return markup`<tr><th scope="row">${relay.nodes.join(' ')} <span class="name" title="${relay.name}">${shortName(relay.name)}</span></th><td>${stateOf(relay)}</td><td>${count(relay.clients)}</td><td>${rate} ${unit}</td><td>${withUnit(percent(relay.headroomRatio), '%')}</td><td>${trip}</td><td>${until === undefined ? UNKNOWN : duration(until - atMs)}</td><td>${relay.version}</td></tr>\n`
  })
  const more = relays.length - RELAYS_MAX
  return markup`<table class="list"><thead><tr><th scope="col">Relay</th><th scope="col">State</th><th scope="col">Clients</th><th scope="col">Throughput</th><th scope="col">Headroom</th><th scope="col">Round trip</th><th scope="col">Certificate</th><th scope="col">Version</th></tr></thead><tbody>
${rows}</tbody></table>${more > 0 ? markup`<p class="note">${more} more are in <a href="status.json">status.json</a>.</p>` : ''}`
}

/** What is not known has no unit. */
function withUnit(value: string, unit: string): string {
  return value === UNKNOWN ? value : `${value} ${unit}`
}

function sum(...values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : known.reduce((all, value) => all + value, 0)
}

function stateOf({ state, health, failing }: OverviewRelay): Markup {
  const isSick = state === 'up' && health === 'notReady'
  const colour = state === 'down' ? 'bad' : isSick || state === 'draining' ? 'warn' : 'ok'
  return markup`<span class="dot ${colour}" title="${failing.join('; ')}">${isSick ? 'not ready' : state}</span>`
}

function regionList({ regions }: Overview): Markup {
  if (regions.length === 0) return markup``
  const items = regions.map(
    (region) =>
      markup`<li><span class="dot ${regionClass(region)}"><b>${region.name}</b> ${stateWord(region)}</span> <span class="note">${region.id} ${region.code} \u{b7} ${count(region.clients)} clients</span></li>`,
  )
  return markup`<ul class="regions">${items}</ul>`
}

// ── events and map ──

function events(all: readonly RecentEvent[]): Markup {
  if (all.length === 0) return markup`<p class="note">None yet.</p>`
  const items = all
    .slice(0, EVENTS_SHOWN)
    .map(
      ({ atMs, level, event, text }) =>
        markup`<li class="${level}"><time datetime="${new Date(atMs).toISOString()}">${clockTime(atMs)}</time> <b>${event.replaceAll('_', ' ')}</b> <span class="note">${text}</span></li>\n`,
    )
  return markup`<ol class="events">${items}</ol>`
}

function paste({ map }: Overview): Markup {
  if (map === undefined) return markup``
  if (map.text.length > MAP_CHARS_MAX)
    return markup`# This map has ${count(map.text.length)} characters; take it from /derpmap.yaml`
  return markup`${map.text}`
}

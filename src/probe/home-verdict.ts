// What a measurement means, in sentences for an operator: which home a Tailscale client takes and why, what would have to
// change for another one, and what is wrong with the network or the map. Pure.

import { takeOverNsMax } from '#client/home-choice.ts'
import { isMeasured } from '#client/measuring-plan.ts'
import type { Region } from '#fleet/region.ts'
import { countedMs, type MeasuredRegion, type NearestReport } from './nearest.ts'

const NS_PER_MS = 1_000_000
const GAIN_MS_MIN = 10
/** The rest are only counted. */
const NAMES_SHOWN = 5
/** Longer codes are cut: a map may come from anyone. */
const CODE_CHARS_MAX = 24

/** A region as people know it: `fra (900)`. */
export function regionTitle({ code, id }: Region): string {
  return code === '' || code === `${id}` ? `region ${id}` : `${code.slice(0, CODE_CHARS_MAX)} (${id})`
}

/** Which home a client takes, and why. */
export function verdict(report: NearestReport): string {
  const { decision, regions } = report
  const { reason } = decision
  const home = titleOf(report, decision.home)
  const old = titleOf(report, decision.previous)
  const other = titleOf(report, decision.nearest)
  const count = regions.filter(({ latencyMs }) => latencyMs !== undefined).length
  switch (reason) {
    case 'first':
      return `A Tailscale client takes ${home} as its home: ${timeOf(report, decision.home)}, ${count === 1 ? 'the only region that answers' : `the nearest of ${count} regions that answer`}.`
    case 'nearest':
      return `A Tailscale client whose home is ${home} stays there: ${timeOf(report, decision.home)}, ${count === 1 ? 'the only region that answers' : `the nearest of ${count} regions that answer`}.`
    case 'moved':
      return `A Tailscale client whose home is ${old} moves to ${home}: ${timeOf(report, decision.home)} instead of ${timeOf(report, decision.previous)} gains at least ${GAIN_MS_MIN} ms and is at most two thirds.`
    case 'silent':
      return `A Tailscale client whose home is ${old} moves to ${home} (${timeOf(report, decision.home)}), because ${old} was not measured. While frames from ${old} arrive, at most 8 s apart, it stays.`
    case 'small-gain':
      return `A Tailscale client whose home is ${old} stays there (${timeOf(report, decision.previous)}), although ${other} is nearer (${timeOf(report, decision.nearest)}): a move must gain ${GAIN_MS_MIN} ms, and this one gains ${gainMs(report).toFixed(1)} ms.`
    case 'small-ratio':
      return `A Tailscale client whose home is ${old} stays there (${timeOf(report, decision.previous)}), although ${other} is nearer (${timeOf(report, decision.nearest)}): the latency after a move must be at most two thirds, here ${(((decision.previousNs ?? 0) / NS_PER_MS) * (2 / 3)).toFixed(1)} ms.`
    case 'unknown':
      return `No region answers, so a Tailscale client has no measured home. It keeps the home that it has${old === '' ? '' : `, ${old}`}; a client that has just started takes any region of the map.`
    case 'heard':
    case 'forced':
    case 'kept':
      return `A Tailscale client stays at ${home}.`
    default:
      return reason satisfies never
  }
}

/** What would have to change for the client to leave this home; undefined without a home that answers. */
export function counterfactual(report: NearestReport): string | undefined {
  const home = find(report, report.decision.home)
  if (home === undefined || home.latencyMs === undefined) return undefined
  const title = regionTitle(home.region)
  const homeMs = countedMs(home)
  const limitMs = takeOverNsMax(Math.round(homeMs * NS_PER_MS)) / NS_PER_MS
  const other = report.regions.find((one) => one !== home && one.latencyMs !== undefined)
  if (other === undefined) {
    return limitMs <= 0
      ? `It would not leave ${title} for any region while ${title} answers: a move must gain ${GAIN_MS_MIN} ms.`
      : `It would leave ${title} only for a region of at most ${limitMs.toFixed(1)} ms.`
  }
  const otherMs = countedMs(other)
  const slowMs = Math.max(otherMs + GAIN_MS_MIN, otherMs * 1.5)
  const name = regionTitle(other.region)
  const ifFast = limitMs <= 0 ? '' : `${name} took at most ${limitMs.toFixed(1)} ms, or `
  const isScored = home.score !== 1 || other.score !== 1
  return `It would leave ${title} for ${name}, the next (${otherMs.toFixed(1)} ms), only if ${ifFast}${title} took at least ${slowMs.toFixed(1)} ms${isScored ? ', each times its score' : ''}.`
}

/** What is wrong with the network or the map, as far as a home is concerned. */
export function remarks(report: NearestReport): readonly string[] {
  return [
    udpRemark(report),
    ...familyRemarks(report),
    relayRemark(report),
    noStunRemark(report),
    ...regionRemarks(report),
    earlyRemark(report),
  ].filter((one) => one !== undefined)
}

function udpRemark({ measurement, regions }: NearestReport): string | undefined {
  if (!measurement.isUdpBlocked) return undefined
  const measured = regions.filter(({ region }) => isMeasured(region))
  if (measured.length === 0) return 'Clients measure no region of this map.'
  if (measured.every(({ region }) => isWithoutStun(region)))
    return 'No region of the map has STUN. Clients measure by HTTPS instead, after waiting 3 s for STUN.'
  const isReached = measurement.httpsNs.size > 0
  return isReached
    ? 'UDP is blocked: no region answers STUN, but HTTPS works. Clients measure by HTTPS instead, and relay all traffic.'
    : 'No region answers, neither by STUN nor by HTTPS. Is this machine connected, and does a firewall block it?'
}

function familyRemarks({ measurement, regions }: NearestReport): readonly string[] {
  const { host, stun, isUdpBlocked } = measurement
  if (isUdpBlocked) return []
  const known = regions.filter(({ region }) => isMeasured(region))
  return ([4, 6] as const).flatMap((family) => {
    const isInMap = known.some(({ region }) => region.nodes.some((node) => hasLiteral(node, family)))
    if (stun.latencyNs[family].size > 0 || !host[family] || !isInMap) return []
    const error = stun.sendError[family]
    const why = error === undefined ? '' : ` (${error})`
    const other = family === 6 ? 4 : 6
    return [
      `IPv${family} is broken here: this machine has an IPv${family} address, but no region answers over it${why}. Clients use IPv${other}.`,
    ]
  })
}

function hasLiteral(
  node: { readonly ipv4?: string | undefined; readonly ipv6?: string | undefined },
  family: 4 | 6,
): boolean {
  const address = family === 4 ? node.ipv4 : node.ipv6
  return address !== undefined && address.includes(family === 4 ? '.' : ':')
}

/** Clients do not notice that only STUN works. */
function relayRemark(report: NearestReport): string | undefined {
  const home = find(report, report.decision.home)
  if (home?.failure === undefined || home.isRefused || report.measurement.isUdpBlocked) return undefined
  const title = regionTitle(home.region)
  return `${title} answers STUN, but its relay does not work: ${home.failure}. Clients take it as their home all the same, and cannot be reached there. A relay that is down must not answer STUN.`
}

function noStunRemark({ measurement, regions }: NearestReport): string | undefined {
  const silent = regions.filter(({ region }) => isMeasured(region) && isWithoutStun(region))
  if (measurement.isUdpBlocked || silent.length === 0) return undefined
  return `Never a home while any other region answers STUN: ${names(silent)} (STUNPort -1).`
}

function isWithoutStun({ nodes }: Region): boolean {
  return nodes.every(({ stunPort }) => stunPort === -1)
}

function regionRemarks({ regions, measurement }: NearestReport): readonly string[] {
  const drained = regions.filter(({ region }) => region.state === 'draining')
  const empty = regions.filter(({ region }) => region.nodes.length === 0)
  const dead = regions.filter(
    ({ region, latencyMs }) => latencyMs === undefined && isMeasured(region) && !isWithoutStun(region),
  )
  const isComplete = measurement.stun.end !== 'enough' && !measurement.isUdpBlocked
  return [
    ...(drained.length === 0 ? [] : [`Not measured and never a home: ${names(drained)} (NoMeasureNoHome).`]),
    ...(empty.length === 0 ? [] : [`Never a home: ${names(empty)} (no usable nodes).`]),
    ...(dead.length === 0 || !isComplete ? [] : [`No answer by STUN within 3 s: ${names(dead)}.`]),
  ]
}

function earlyRemark({ measurement, regions }: NearestReport): string | undefined {
  const left = regions.filter(({ region, latencyMs }) => isMeasured(region) && latencyMs === undefined)
  if (measurement.stun.end !== 'enough' || left.length === 0) return undefined
  return `Not waited for, as three regions had answered: ${names(left)}.`
}

function names(regions: readonly MeasuredRegion[]): string {
  const shown = regions.slice(0, NAMES_SHOWN).map(({ region }) => regionTitle(region))
  const more = regions.length - shown.length
  return shown.join(', ') + (more === 0 ? '' : ` and ${more} more`)
}

function gainMs({ decision }: NearestReport): number {
  return ((decision.previousNs ?? 0) - (decision.nearestNs ?? 0)) / NS_PER_MS
}

function find({ regions }: NearestReport, id: number | undefined): MeasuredRegion | undefined {
  return regions.find(({ region }) => region.id === id)
}

function titleOf(report: NearestReport, id: number | undefined): string {
  const found = find(report, id)
  return found === undefined ? '' : regionTitle(found.region)
}

/** `12.3 ms`, with the score if the map has one. */
function timeOf(report: NearestReport, id: number | undefined): string {
  const found = find(report, id)
  if (found?.latencyMs === undefined) return 'no answer'
  const ms = `${found.latencyMs.toFixed(1)} ms`
  return found.score === 1
    ? ms
    : `${ms}, counted as ${countedMs(found).toFixed(1)} ms by its score ${found.score}`
}

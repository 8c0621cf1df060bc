// How `derpfleet nearest` prints its measurement: a table for people, a JSON document for programs.

import { counterfactual, regionTitle, remarks, verdict } from '#probe/home-verdict.ts'
import { countedMs, type MeasuredRegion, type NearestReport } from '#probe/nearest.ts'

/** The longest title of a region, and a space. */
const TITLE_CHARS = 33
const COLUMN_CHARS = 11
/** The rest of a large map is only counted. */
const ROWS_MAX = 60

/** One line for each region, the nearest first. */
export function nearestTable(report: NearestReport): string {
  const shown = report.regions.slice(0, ROWS_MAX)
  const rows = shown.map((measured, at) => row(measured, at, report))
  const more = report.regions.length - shown.length
  const rest = more === 0 ? '' : `     and ${more} more regions\n`
  return heading() + rows.join('') + rest
}

function heading(): string {
  const columns = ['counted', 'STUN IPv4', 'STUN IPv6', 'HTTPS', 'login'].map((one) =>
    one.padStart(COLUMN_CHARS),
  )
  return `     ${'region'.padEnd(TITLE_CHARS)}${columns.join('')}\n`
}

function row(measured: MeasuredRegion, at: number, { decision }: NearestReport): string {
  const { region, latencyMs, v4Ms, v6Ms, httpsMs, loginMs, isRefused } = measured
  const place = latencyMs === undefined ? '' : `${at + 1}`
  const counted = latencyMs === undefined ? undefined : countedMs(measured)
  const times = [counted, v4Ms, v6Ms, httpsMs].map((ms) => timeText(ms).padStart(COLUMN_CHARS))
  const login = (isRefused ? 'refused' : timeText(loginMs)).padStart(COLUMN_CHARS)
  const marks = [
    ...(region.id === decision.home ? ['home'] : []),
    ...(region.id === decision.previous && decision.previous !== decision.home ? ['home before'] : []),
    ...failureMark(measured),
  ]
  const title = regionTitle(region).padEnd(TITLE_CHARS)
  return `${place.padStart(3)}  ${title}${times.join('')}${login}  ${marks.join('; ')}`.trimEnd() + '\n'
}

function failureMark({ failure, isRefused, latencyMs }: MeasuredRegion): readonly string[] {
  if (isRefused) return ['admits only clients that it knows']
  return failure === undefined ? (latencyMs === undefined ? ['no answer'] : []) : [failure.slice(0, 120)]
}

function timeText(ms: number | undefined): string {
  return ms === undefined ? '-' : `${ms.toFixed(1)} ms`
}

/** The whole report. */
export function nearestJson(
  report: NearestReport,
  source: { readonly map: string; readonly version: string },
): string {
  const { decision, regions, measurement, map, startedAt, seconds } = report
  const titled = (id: number | undefined): object | null => {
    const found = regions.find(({ region }) => region.id === id)?.region
    return found === undefined ? null : { id: found.id, code: found.code, name: found.name }
  }
  const document = {
    ...source,
    startedAt: startedAt.toISOString(),
    seconds: rounded(seconds),
    mapProblem: map.status === 'fail' ? map.detail : null,
    home: titled(decision.home),
    previousHome: titled(decision.previous),
    reason: decision.reason,
    verdict: verdict(report),
    counterfactual: counterfactual(report) ?? null,
    remarks: remarks(report),
    isUdpBlocked: measurement.isUdpBlocked,
    seenAs: {
      ipv4: measurement.stun.publicAddress[4] ?? null,
      ipv6: measurement.stun.publicAddress[6] ?? null,
    },
    regions: regions.map(regionJson),
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function regionJson(measured: MeasuredRegion, at: number): object {
  const { region, latencyMs, score, v4Ms, v6Ms, httpsMs, loginMs, failure, isRefused } = measured
  return {
    id: region.id,
    code: region.code,
    name: region.name,
    rank: latencyMs === undefined ? null : at + 1,
    latencyMs: rounded(latencyMs),
    score,
    countedMs: latencyMs === undefined ? null : rounded(countedMs(measured)),
    stunIpv4Ms: rounded(v4Ms),
    stunIpv6Ms: rounded(v6Ms),
    httpsMs: rounded(httpsMs),
    loginMs: rounded(loginMs),
    isLoginRefused: isRefused,
    failure: failure ?? null,
  }
}

/** To thousandths: these clocks are no finer than a microsecond. */
function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Math.round(value * 1_000) / 1_000
}

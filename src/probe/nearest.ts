// Which region of a map a Tailscale client would take as its home, from where this machine is: measures as such a client
// does, and applies its rules (client/home-choice.ts). Beside that it tries HTTPS and a login at the nearest regions, which
// clients do not do before they choose. Prints nothing; the sentences are in home-verdict.ts.

import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'
import { HomeChoice, type HomeDecision } from '#client/home-choice.ts'
import { MapTrust } from '#client/map-trust.ts'
import { measureByHttps, measureRegions, type Measurement } from '#client/latency-measurement.ts'
import { reachableNode } from '#client/region-dial.ts'
import { verificationFor } from '#client/tls-verification.ts'
import type { Region } from '#fleet/region.ts'
import { checkOf, errorText, outcomeOf, printable, type Check, type Outcome } from './check.ts'
import { loadMap, type LoadedMap } from './map-source.ts'
import { isRefusal } from './relay-access.ts'
import type { MapTarget } from './target.ts'
import { trustedAuthorities } from './tls-checks.ts'

/** Ten times Tailscale's own map; clients send up to six requests to each region. */
const REGIONS_MAX = 1_000
/** So many regions, the nearest and the homes, are also tried by HTTPS and login. */
const REGIONS_TRIED = 8
/** For HTTPS of these; a client's limit for all of its report. */
const HTTPS_MS = 5_000
const NS_PER_MS = 1_000_000

export interface NearestRequest {
  readonly target: MapTarget
  /** Code or number of the region that is the client's home now. */
  readonly from: string | undefined
  /** For the map, and for each login. */
  readonly timeoutMs: number
  readonly authorities: readonly string[]
  readonly isInsecure: boolean
  readonly meshKey: Uint8Array | undefined
}

/** A region of the map and what was measured. */
export interface MeasuredRegion {
  readonly region: Region
  /** In milliseconds; undefined: no answer, or not tried. */
  readonly v4Ms: number | undefined
  readonly v6Ms: number | undefined
  readonly httpsMs: number | undefined
  readonly loginMs: number | undefined
  /** What clients count: the smallest of STUN, else HTTPS. */
  readonly latencyMs: number | undefined
  /** The region's score in the map. */
  readonly score: number
  /** Why HTTPS or the login failed. */
  readonly failure: string | undefined
  /** The relay works, but admits only clients that it knows. */
  readonly isRefused: boolean
}

export interface NearestReport {
  readonly startedAt: Date
  readonly seconds: number
  readonly map: Check
  /** Nearest first; regions without latency last. */
  readonly regions: readonly MeasuredRegion[]
  /** The home that the request named. */
  readonly from: Region | undefined
  readonly measurement: Measurement
  readonly decision: HomeDecision
}

/** Measures. Returns why the request can't be met, or that the map can't be read. */
export async function findNearest(
  request: NearestRequest,
): Promise<NearestReport | { readonly unfit: string } | { readonly unread: Check }> {
  const startedAt = new Date()
  const startMs = performance.now()
  const authorities = trustedAuthorities(request)
  let loaded: LoadedMap | undefined
  const outcome = await outcomeOf(async (): Promise<Outcome<true>> => {
    loaded = await loadMap(request.target, { ...request, authorities })
    return loaded.outcome
  })
  const map = checkOf('map', undefined, outcome)
  const read = loaded?.map
  if (read === undefined || read.regions.length === 0) return { unread: map }
  const { regions } = read
  if (regions.length > REGIONS_MAX)
    return { unfit: `the map has ${regions.length} regions; expected at most ${REGIONS_MAX}` }
  const from = regions.find(({ id, code }) => request.from === code || request.from === `${id}`)
  if (request.from !== undefined && from === undefined) {
    return { unfit: `-from: region ${JSON.stringify(request.from)} is not in the map` }
  }
  const access = { trust: new MapTrust({ ...request, authorities }), shared: new SharedResources() }
  const measurement = await measureRegions(regions, access)
  const choice = new HomeChoice({ nowMs: () => performance.now(), home: from?.id })
  choice.setScores(read.scores)
  const decision = choice.choose(measurement)
  const tried = await tryRegions(regions, { measurement, decision, access, request })
  const measured = regions.map((region) => withTimes(region, measurement, tried, read.scores))
  const sorted = measured.toSorted((a, b) => countedMs(a) - countedMs(b) || a.region.id - b.region.id)
  const seconds = (performance.now() - startMs) / 1_000
  return { startedAt, seconds, map, regions: sorted, from, measurement, decision }
}

/** The latency times the score, which decides; infinite without one. */
export function countedMs({ latencyMs, score }: MeasuredRegion): number {
  return latencyMs === undefined ? Number.POSITIVE_INFINITY : latencyMs * score
}

interface Tried {
  readonly httpsNs: ReadonlyMap<number, number>
  readonly loginMs: ReadonlyMap<number, number>
  readonly errors: ReadonlyMap<number, Error>
}

interface Trial {
  readonly measurement: Measurement
  readonly decision: HomeDecision
  readonly access: { readonly trust: MapTrust; readonly shared: SharedResources }
  readonly request: NearestRequest
}

/** Tries HTTPS and a login, region by region, so that none disturbs another's times. */
async function tryRegions(regions: readonly Region[], trial: Trial): Promise<Tried> {
  const { measurement, decision, access } = trial
  const { latencyNs } = measurement
  const byLatency = regions
    .filter(({ id }) => latencyNs.has(id))
    .toSorted((a, b) => (latencyNs.get(a.id) ?? 0) - (latencyNs.get(b.id) ?? 0))
  const homes = regions.filter(({ id }) => id === decision.home || id === decision.previous)
  const wanted = [...new Set([...byLatency.slice(0, REGIONS_TRIED), ...homes])]
  const errors = new Map(measurement.httpsErrors)
  const missing = wanted.filter(({ id }) => !measurement.httpsNs.has(id))
  const signal = AbortSignal.timeout(HTTPS_MS)
  const late = await measureByHttps(missing, { ...access, signal }, errors)
  const loginMs = new Map<number, number>()
  for (const region of wanted.filter(({ id }) => !errors.has(id))) {
    try {
      loginMs.set(region.id, await login(region, trial))
    } catch (error) {
      errors.set(region.id, error instanceof Error ? error : new Error(String(error)))
    }
  }
  return { httpsNs: new Map([...measurement.httpsNs, ...late]), loginMs, errors }
}

/** How long a login takes, from the dial to the admission. */
async function login(region: Region, { access, request }: Trial): Promise<number> {
  const { timeoutMs: connectTimeoutMs, meshKey } = request
  const reachable = await reachableNode(region, AbortSignal.timeout(connectTimeoutMs))
  const target = access.trust.targetOf(reachable)
  // A map may come from an untrusted source: the mesh key is not sent to a relay that the map says not to verify.
  const isVerified = verificationFor(target.host ?? '', target.tls).kind !== 'none'
  const withMesh = meshKey === undefined || !isVerified ? {} : { meshKey }
  const startMs = performance.now()
  const client = await DerpClient.connect({
    ...target,
    ...withMesh,
    key: newKeyPair(),
    isProber: true,
    connectTimeoutMs,
    shared: access.shared,
  })
  const ms = performance.now() - startMs
  await client.close()
  return ms
}

function withTimes(
  region: Region,
  { stun, latencyNs }: Measurement,
  { httpsNs, loginMs, errors }: Tried,
  scores: ReadonlyMap<number, number>,
): MeasuredRegion {
  const ms = (latencies: ReadonlyMap<number, number>): number | undefined => {
    const ns = latencies.get(region.id)
    return ns === undefined ? undefined : ns / NS_PER_MS
  }
  const error = errors.get(region.id)
  return {
    region,
    v4Ms: ms(stun.latencyNs[4]),
    v6Ms: ms(stun.latencyNs[6]),
    httpsMs: ms(httpsNs),
    loginMs: loginMs.get(region.id),
    latencyMs: ms(latencyNs),
    score: scores.get(region.id) ?? 1,
    failure: error === undefined ? undefined : printable(errorText(error)),
    isRefused: isRefusal(error),
  }
}

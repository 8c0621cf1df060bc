// One full measurement of a map's regions, as a Tailscale client makes it: STUN over both families; HTTPS only if no region
// answered STUN; five seconds in all. Unlike those clients it makes a second round by STUN and counts the smaller time: in
// this runtime a pause of some milliseconds is common, and clients have the minimum of five minutes against it. ICMP, by which those clients may also measure then, needs rights that this
// program does not ask for; it differs from HTTPS by less than a round trip's noise.

import { networkInterfaces } from 'node:os'
import { httpsLatencyNs, type HttpsAccess } from './https-latency.ts'
import type { LatencyReport } from './home-choice.ts'
import { fullPlan, isMeasuredByHttps, type HostFamilies, type ProbeSet } from './measuring-plan.ts'
import type { MapRegion } from './relay-map.ts'
import { StunRound, type StunFindings } from './stun-round.ts'

const REPORT_MS = 5_000
/** Tailscale's clients try all regions at once; so many keep a large map from delaying its own times. */
const HTTPS_AT_ONCE = 32

export interface Measurement extends LatencyReport {
  readonly stun: StunFindings
  /** By HTTPS; empty if any region answered STUN. */
  readonly httpsNs: ReadonlyMap<number, number>
  /** Why a region could not be measured by HTTPS. */
  readonly httpsErrors: ReadonlyMap<number, Error>
  /** No region answered STUN. */
  readonly isUdpBlocked: boolean
  readonly host: HostFamilies
}

/** Measures. Never rejects because of the network. */
export async function measureRegions(
  regions: readonly MapRegion[],
  access: Omit<HttpsAccess, 'signal'>,
): Promise<Measurement> {
  const startedMs = performance.now()
  const signal = AbortSignal.timeout(REPORT_MS)
  const host = hostFamilies()
  const stun = await measureByStun(fullPlan(regions, host))
  const latencyNs = new Map(smaller(stun.latencyNs[4], stun.latencyNs[6]))
  const isUdpBlocked = latencyNs.size === 0
  const httpsErrors = new Map<number, Error>()
  const httpsNs = isUdpBlocked
    ? await measureByHttps(regions.filter(isMeasuredByHttps), { ...access, signal }, httpsErrors)
    : new Map<number, number>()
  for (const [region, ns] of httpsNs) latencyNs.set(region, ns)
  return { startedMs, latencyNs, stun, httpsNs, httpsErrors, isUdpBlocked, host }
}

async function measureByStun(plan: readonly ProbeSet[]): Promise<StunFindings> {
  const first = await new StunRound(plan).run()
  if (first.latencyNs[4].size + first.latencyNs[6].size === 0) return first
  const answered = plan.filter(([{ region, family }]) => first.latencyNs[family].has(region))
  const second = await new StunRound(answered).run()
  const latencyNs = {
    4: smaller(first.latencyNs[4], second.latencyNs[4]),
    6: smaller(first.latencyNs[6], second.latencyNs[6]),
  }
  return { ...first, latencyNs }
}

function smaller(
  one: ReadonlyMap<number, number>,
  other: ReadonlyMap<number, number>,
): ReadonlyMap<number, number> {
  const all = new Map(one)
  for (const [region, ns] of other) all.set(region, Math.min(ns, all.get(region) ?? ns))
  return all
}

/** The latencies of regions by HTTPS, several at a time. */
export async function measureByHttps(
  regions: readonly MapRegion[],
  access: HttpsAccess,
  errors: Map<number, Error>,
): Promise<ReadonlyMap<number, number>> {
  const found = new Map<number, number>()
  const left = regions.values()
  const measureNext = async (): Promise<void> => {
    for (const region of left) {
      try {
        found.set(region.id, await httpsLatencyNs(region, access))
      } catch (error) {
        errors.set(region.id, error instanceof Error ? error : new Error(String(error)))
      }
    }
  }
  await Promise.all(Array.from({ length: HTTPS_AT_ONCE }, measureNext))
  return found
}

/** Tailscale's own addresses, through which no relay is reached. */
const TAILSCALE_IPV6 = /^fd7a:115c:a1e0:/i
const USABLE_IPV6 = /^(?:[23]|f[cd])/i

/** The families that this host can use, by the addresses of its interfaces. */
function hostFamilies(): HostFamilies {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const outside = all.filter(({ internal }) => !internal)
  return {
    4: outside.some(({ family, address }) => family === 'IPv4' && !address.startsWith('169.254.')),
    6: outside.some(
      ({ family, address }) =>
        family === 'IPv6' && USABLE_IPV6.test(address) && !TAILSCALE_IPV6.test(address),
    ),
  }
}

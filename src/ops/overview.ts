// What a person wants to see of a relay and of its fleet at a glance: one value for the status page, for its stream and for
// `derpfleet top`. As JSON, fields are added and never renamed. What is not known is undefined. No I/O.

import type { RecentEvent } from './event-ring.ts'
import type { LoadNumbers } from './traffic-meter.ts'

/**
 * - `serving`: all checks of /readyz pass.
 * - `draining`: clients are moved away.
 * - `notReady`: a check fails; new clients are not sent here.
 */
export type RelayWord = 'serving' | 'draining' | 'notReady'

/** How much of it works: all; not all; or clients are not sent here. */
export type OverviewLevel = 'ok' | 'degraded' | 'down'

export interface OverviewRelay {
  readonly name: string
  readonly nodes: readonly string[]
  /** Undefined: the regions file does not say. */
  readonly region: number | undefined
  readonly isOwn: boolean
  /** `up`, `draining` or `down`, as the map takes it. */
  readonly state: string
  /** As the relay tells it: `ready`, `notReady`, `draining`… */
  readonly health: string | undefined
  readonly failing: readonly string[]
  readonly clients: number | undefined
  readonly bytesInPerSecond: number | undefined
  readonly bytesOutPerSecond: number | undefined
  readonly headroomRatio: number | undefined
  readonly version: string | undefined
  readonly certificateNotAfterMs: number | undefined
  /** Since its last message. */
  readonly ageMs: number | undefined
}

/** A link as the relay `from` measures it. */
export interface OverviewLink {
  readonly from: string
  readonly to: string
  readonly isUp: boolean
  readonly rttMs: number | undefined
  readonly jitterMs: number | undefined
  readonly lossRatio: number | undefined
}

export interface OverviewRegion {
  readonly id: number
  readonly code: string
  readonly name: string
  readonly latitude: number | undefined
  readonly longitude: number | undefined
  /** By the file: `active`, `draining` or `off`. */
  readonly state: string
  /** Its relays, and those that are up. */
  readonly relays: number
  readonly up: number
  readonly clients: number
}

export interface OverviewCertificate {
  readonly hostname: string
  readonly source: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** A map entry to paste, or a whole map. */
export interface OverviewMap {
  /** As Headscale reads it. */
  readonly text: string
  /** Undefined: this relay serves no map. */
  readonly version: string | undefined
  readonly isStale: boolean
}

export interface Overview {
  /** Unix time. */
  readonly atMs: number
  readonly hostname: string
  readonly nodes: readonly string[]
  readonly version: string
  readonly startedMs: number
  readonly state: RelayWord
  /** The failing checks, each with its reason. */
  readonly failing: readonly string[]
  /** In a drain. */
  readonly clientsLeft: number | undefined
  readonly load: LoadNumbers
  readonly headroomRatio: number | undefined
  /** What the headroom is the least of: `threads` or `capacity`. */
  readonly headroomOf: string | undefined
  /** Undefined without TLS. */
  readonly certificate: OverviewCertificate | undefined
  readonly certificateFailure: string | undefined
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  readonly relays: readonly OverviewRelay[]
  readonly links: readonly OverviewLink[]
  readonly regions: readonly OverviewRegion[]
  readonly events: readonly RecentEvent[]
  readonly map: OverviewMap | undefined
}

/** Below this share of its life a certificate should have been renewed long ago. */
const CERTIFICATE_SHARE_MIN = 0.1
/** Waits and drops begin soon. */
const HEADROOM_MIN = 0.05

/** The share of a certificate's life that is left, 0 to 1. */
export function lifeLeft({ notBeforeMs, notAfterMs }: OverviewCertificate, nowMs: number): number {
  const life = Math.max(1, notAfterMs - notBeforeMs)
  return Math.min(1, Math.max(0, (notAfterMs - nowMs) / life))
}

/** A relay's name among siblings, without the address that they dial. */
export function shortName(name: string): string {
  return name.split('/', 1)[0] ?? name
}

/** What an operator should look at, the worst first; empty if all is well. */
export function concernsOf(overview: Overview): readonly string[] {
  const { state, failing, clientsLeft, majority, relays, links, certificate, headroomRatio, map } = overview
  const down = relays.filter((relay) => relay.state === 'down').map(({ name }) => name)
  const sick = relays.filter((relay) => relay.state === 'up' && relay.health === 'notReady' && !relay.isOwn)
  const own = relays.find(({ isOwn }) => isOwn)?.name
  const broken = links.filter(({ from, to, isUp }) => from === own && !isUp && !down.includes(to))
  const concerns: readonly (readonly [isSo: boolean, text: () => string])[] = [
    [state === 'notReady', () => failing.join('; ')],
    [state === 'draining', () => `${clientsLeft ?? 0} clients left`],
    [!majority.isMajority, () => `sees ${majority.seen} of ${majority.expected} relays, no majority`],
    [down.length > 0, () => `down: ${named(down)}`],
    [sick.length > 0, () => `not ready: ${named(sick.map(({ name }) => name))}`],
    [broken.length > 0, () => `no link to ${named(broken.map(({ to }) => to))}`],
    [isOld(overview), () => `certificate expires ${certificate && dateOf(certificate.notAfterMs)}`],
    [overview.certificateFailure !== undefined, () => `certificate: ${overview.certificateFailure}`],
    [(headroomRatio ?? 1) < HEADROOM_MIN, () => 'no headroom left'],
    [map?.isStale === true, () => 'the map is stale'],
  ]
  return concerns.filter(([isSo]) => isSo).map(([, text]) => text())
}

export function levelOf(overview: Overview): OverviewLevel {
  if (overview.state === 'notReady') return 'down'
  return concernsOf(overview).length > 0 ? 'degraded' : 'ok'
}

function isOld({ certificate, atMs }: Overview): boolean {
  return certificate !== undefined && lifeLeft(certificate, atMs) < CERTIFICATE_SHARE_MIN
}

const NAMED_MAX = 3

function named(names: readonly string[]): string {
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : ''
  return `${names.slice(0, NAMED_MAX).map(shortName).join(', ')}${more}`
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** With the judgement of it. */
export function overviewBody(overview: Overview): Readonly<Record<string, unknown>> {
  return { level: levelOf(overview), concerns: concernsOf(overview), ...overview }
}

/** What is not known is null. */
export function overviewJson(overview: Overview): string {
  const value = overviewBody(overview)
  return `${JSON.stringify(value, (_, part: unknown) => (part === undefined ? null : part))}\n`
}

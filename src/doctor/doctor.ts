// An examination from beginning to end: asks the relay what it knows, lets its siblings look at it from outside, goes the way
// of a client from here, reads the map, and judges all of it together. Prints nothing. How the relay is asked is its
// caller's business.

import { networkInterfaces } from 'node:os'
import { SharedResources } from '#client/shared-resources.ts'
import { isEveryAddress } from '#config/endpoint.ts'
import { derpMapText } from '#fleet/derp-map-writer.ts'
import type { OutsideView } from '#fleet/look.ts'
import type { RelayFacts } from '#fleet/relay-facts.ts'
import type { ReachableAddress } from '#probe/addresses.ts'
import { CheckError, errorText } from '#probe/check.ts'
import { EMPTY_FOR_HEADSCALE, mapText } from '#probe/map-source.ts'
import type { NodeReport } from '#probe/node-probe.ts'
import { nodeOfMap, nodeOfRelay, nodeTitle, type ProbedNode } from '#probe/probed-node.ts'
import { probeNodes, probeTarget } from '#probe/probe.ts'
import type { ProbeSettings } from '#probe/settings.ts'
import type { ProbeTarget } from '#probe/target.ts'
import { trustedAuthorities } from '#probe/tls-checks.ts'
import { clientFindings, type ClientContext } from './client-findings.ts'
import { fail, inOrder, ok, skip, type Finding } from './finding.ts'
import { fleetFindings } from './fleet-findings.ts'
import { hostFindings } from './host-findings.ts'
import { mapFindings } from './map-findings.ts'
import { outsideFindings, reachedOutside } from './outside-findings.ts'
import { clockFinding, relayFindings } from './relay-findings.ts'
import { askTime, askUpgrade, type Place, type UpgradeAnswer } from './upgrade-answer.ts'

/** A running relay, or why none is asked. */
export type AskedRelay =
  | {
      /** The doctor runs on the same host. */
      readonly isOnHost: boolean
      facts(): Promise<RelayFacts | { readonly problem: string }>
      /** Has its siblings look at it. */
      outside(): Promise<readonly OutsideView[] | { readonly problem: string }>
    }
  | { readonly reason: string; readonly isWanted: boolean }

export interface DoctorRequest {
  readonly relay: AskedRelay
  /** A map or a relay; undefined: what the relay says of itself. */
  readonly target: ProbeTarget | undefined
  readonly targetText: string
  readonly settings: ProbeSettings
}

export interface DoctorReport {
  readonly startedAt: Date
  readonly seconds: number
  readonly findings: readonly Finding[]
}

export async function examine(request: DoctorRequest): Promise<DoctorReport> {
  const startedAt = new Date()
  const startMs = performance.now()
  const findings = await findingsOf(request)
  return { startedAt, seconds: (performance.now() - startMs) / 1_000, findings: inOrder(findings) }
}

async function findingsOf(request: DoctorRequest): Promise<readonly Finding[]> {
  const { relay } = request
  const asked = await askRelay(relay)
  const { facts } = asked
  const isOnHost = 'isOnHost' in relay && relay.isOnHost
  const views = facts === undefined || !('outside' in relay) ? [] : await relay.outside()
  const seen = 'problem' in views ? [] : views
  const context = { facts, isOnHost, views: seen }
  return [
    ...asked.findings,
    ...(facts === undefined ? [] : insideFindings(facts, isOnHost, seen)),
    ...('problem' in views ? [skip('outside', views.problem)] : []),
    ...(facts === undefined || 'problem' in views ? [] : outsideFindings(seen, facts)),
    ...(await mapFindingsOf(request, facts)),
    ...(await clientWays(request, context)),
  ]
}

async function askRelay(
  relay: AskedRelay,
): Promise<{ readonly facts?: RelayFacts; readonly findings: readonly Finding[] }> {
  if ('reason' in relay) {
    return { findings: [relay.isWanted ? unasked(relay.reason) : skip('relay', relay.reason)] }
  }
  const facts = await relay.facts()
  if ('problem' in facts) return { findings: [unasked(facts.problem)] }
  return {
    facts,
    findings: [ok('relay', `${facts.hostname}, version ${facts.version}, process ${facts.pid}`)],
  }
}

function unasked(seen: string): Finding {
  return fail('relay', {
    seen,
    expected: 'a relay that answers',
    advice:
      'start it, run doctor as root or as its user, or reach it by -addr and -token-file; to examine a relay from outside alone, name it or its map',
  })
}

function insideFindings(
  facts: RelayFacts,
  isOnHost: boolean,
  views: readonly OutsideView[],
): readonly Finding[] {
  const here = isOnHost ? [] : [{ of: 'this machine', nowMs: Date.now() }]
  const others = views.flatMap(({ by, clockAheadMs }) =>
    clockAheadMs === undefined ? [] : [{ of: by, nowMs: facts.nowMs + clockAheadMs }],
  )
  return [
    ...relayFindings(facts),
    ...hostFindings(facts.host),
    ...fleetFindings(facts),
    clockFinding(facts.nowMs, [...here, ...others]),
  ]
}

async function mapFindingsOf(
  { target, targetText, settings }: DoctorRequest,
  facts: RelayFacts | undefined,
): Promise<readonly Finding[]> {
  if (target === undefined || target.kind === 'relay') {
    const all = facts?.regions?.inUse ?? (facts?.entry === undefined ? [] : [facts.entry])
    const regions = all.filter(({ state }) => state !== 'off')
    if (regions.length === 0) return [skip('map-client', 'no map was named')]
    return mapFindings('the map of the relay', derpMapText('headscale', regions), facts)
  }
  const access = { ...settings, authorities: trustedAuthorities(settings) }
  try {
    return mapFindings(targetText, await mapText(target, access), facts)
  } catch (error) {
    const isEmpty = error instanceof CheckError && error.hint === EMPTY_FOR_HEADSCALE
    const advice = error instanceof CheckError ? error.hint : 'see who serves it, and its log'
    const problem = { subject: targetText, seen: errorText(error), expected: 'a DERP map', advice }
    return [
      fail('map-client', problem),
      ...(isEmpty
        ? [fail('map-headscale', problem)]
        : [skip('map-headscale', 'it keeps the map before', targetText)]),
    ]
  }
}

async function clientWays(
  { target, settings }: DoctorRequest,
  { facts, isOnHost, views }: Known,
): Promise<readonly Finding[]> {
  const shared = new SharedResources()
  const nodes = await nodesOf({ target, settings }, facts, shared)
  const ways: Finding[] = []
  const ownAddresses = new Set(
    Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []),
  )
  for (const report of nodes.reports) {
    const isAsked = facts !== undefined && isOf(facts, report.node)
    const context: ClientContext = {
      facts: isAsked ? facts : undefined,
      isOnHost: isAsked && isOnHost,
      isLookedAt: isAsked && views.some(({ ports }) => ports.length > 0),
      ownAddresses,
      reachedOutside: isAsked ? reachedOutside(views) : new Set(),
      upgrade: await answerFor(placeOf(report), report, { shared, settings }),
      ownUpgrade:
        isAsked && isOnHost ? await answerAt(ownPlace(facts, report.node), { shared, settings }) : undefined,
    }
    ways.push(...clientFindings(report, context))
    if (!isAsked) ways.push(...(await clockOf(report, { shared, settings })))
  }
  return [...ways, ...nodes.meshes]
}

/** What the relay has said. */
interface Known {
  readonly facts: RelayFacts | undefined
  readonly isOnHost: boolean
  readonly views: readonly OutsideView[]
}

interface Ways {
  readonly reports: readonly NodeReport[]
  readonly meshes: readonly Finding[]
}

const NO_OBSERVER = { onMap: () => undefined, onProgress: () => undefined }

async function nodesOf(
  { target, settings }: Pick<DoctorRequest, 'target' | 'settings'>,
  facts: RelayFacts | undefined,
  shared: SharedResources,
): Promise<Ways> {
  if (target === undefined) {
    const own = facts === undefined ? [] : ownNodes(facts, settings)
    const context = { settings, shared, authorities: trustedAuthorities(settings) }
    return { reports: await probeNodes(own, context, NO_OBSERVER), meshes: [] }
  }
  const report = await probeTarget({ target, region: undefined, settings }, NO_OBSERVER)
  if ('unfit' in report) return { reports: [], meshes: [skip('mesh', report.unfit)] }
  const meshes = report.meshes.map(({ from, to, status, detail, hint }) =>
    status === 'fail'
      ? fail('mesh', {
          subject: `${from} to ${to}`,
          seen: detail,
          expected: 'a packet from a client of one arrives at a client of the other',
          advice: hint ?? 'see siblings and mesh-key on both relays',
        })
      : ok('mesh', detail, `${from} to ${to}`),
  )
  return { reports: report.nodes, meshes }
}

/** Where clients find the relay: by the regions file, else by its name and its port. */
function ownNodes(facts: RelayFacts, settings: ProbeSettings): readonly ProbedNode[] {
  const { regions, entry, hostname, listeners, isTls } = facts
  const all = regions?.inUse ?? (entry === undefined ? [] : [entry])
  const own = all.flatMap((region) =>
    region.nodes
      .filter(({ name }) => regions === undefined || regions.ownNodes.includes(name))
      .map((node) => nodeOfMap(region, node, settings)),
  )
  // A standby is one relay, whatever number of nodes it is.
  const byPlace = new Map(own.map((node) => [`${node.host} ${node.port}`, node]))
  if (byPlace.size > 0) return [...byPlace.values()]
  if (listeners.derp === undefined) return []
  const node = nodeOfRelay(
    { kind: 'relay', host: hostname, port: listeners.derp.port, isPlain: !isTls },
    settings,
  )
  return [{ ...node, stunPort: settings.stunPort ?? listeners.stun?.port ?? -1 }]
}

/** Whether a node is the relay that was asked. */
function isOf({ regions, hostname, listeners }: RelayFacts, node: ProbedNode): boolean {
  if (node.name !== undefined && regions !== undefined) return regions.ownNodes.includes(node.name)
  const isLocal = node.host === listeners.derp?.host && node.port === listeners.derp.port
  return isLocal || node.host.toLowerCase() === hostname.toLowerCase()
}

/** The address at which clients connect. */
function placeOf({ node, addresses, checks }: NodeReport): Place | undefined {
  const family = checks.find(({ name, status }) => name === 'tcp' && status === 'ok')?.family
  const address = addresses.find((one) => one.includes(':') === (family === 6))
  return family === undefined || address === undefined ? undefined : { node, address: reachable(address) }
}

/** The relay's own port, past whatever is in front of it. */
function ownPlace({ listeners: { derp }, isTls }: RelayFacts, node: ProbedNode): Place | undefined {
  if (derp === undefined) return undefined
  const address = isEveryAddress(derp.host) ? '127.0.0.1' : derp.host
  return { node: { ...node, port: derp.port, isPlain: !isTls }, address: reachable(address) }
}

function reachable(address: string): ReachableAddress {
  return { family: address.includes(':') ? 6 : 4, address, isGiven: true, source: '' }
}

interface Asking {
  readonly shared: SharedResources
  readonly settings: ProbeSettings
}

/** The clock of a relay that was not asked, by what its pages say. */
async function clockOf(report: NodeReport, { shared, settings }: Asking): Promise<readonly Finding[]> {
  const place = placeOf(report)
  if (place === undefined) return []
  const timeMs = await askTime(place, { shared, timeoutMs: settings.timeoutMs }).catch(() => undefined)
  const others = [{ of: 'this machine', nowMs: Date.now() }]
  return timeMs === undefined ? [] : [clockFinding(timeMs, others, nodeTitle(report.node))]
}

/** A login shows that the upgrade arrives; it is asked for alone only after a failure. */
async function answerFor(
  place: Place | undefined,
  { checks }: NodeReport,
  asking: Asking,
): Promise<UpgradeAnswer | undefined> {
  const isUpgraded = checks.some(({ name, status }) => name === 'login' && status === 'ok')
  return isUpgraded ? { status: 101, hops: [] } : await answerAt(place, asking)
}

async function answerAt(
  place: Place | undefined,
  { shared, settings: { timeoutMs } }: Asking,
): Promise<UpgradeAnswer | undefined> {
  if (place === undefined) return undefined
  return await askUpgrade(place, { shared, timeoutMs }).catch(() => undefined)
}

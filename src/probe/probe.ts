// A probe from its target to its report: finds the relays to probe, probes several at a time, and then checks the
// meshes between them. Prints nothing and keeps nothing; its clients are closed when it ends.

import { SharedResources } from '#client/shared-resources.ts'
import { checkOf, outcomeOf, type Check, type Outcome } from './check.ts'
import { loadMap, type LoadedMap } from './map-source.ts'
import { checkMeshes, type MeshCheck } from './mesh-checks.ts'
import { NodeProbe, type NodeReport, type ProbeContext } from './node-probe.ts'
import { nodeOfMap, nodeOfRelay, type ProbedNode } from './probed-node.ts'
import type { ProbeReport } from './report.ts'
import type { ProbeSettings } from './settings.ts'
import type { MapTarget, ProbeTarget } from './target.ts'
import { trustedAuthorities } from './tls-checks.ts'

/** A few at a time: enough that slow relays do not add up, few enough that they do not disturb each other's times. */
const NODES_AT_ONCE = 4
/** Several times the largest public map. A map with more nodes is probed one region at a time. */
const NODES_MAX = 512

export interface ProbeRequest {
  readonly target: ProbeTarget
  /** Code or number of the only region of a map to probe. */
  readonly region: string | undefined
  readonly settings: ProbeSettings
}

/** Receives the findings of a probe while it runs. */
export interface ProbeObserver {
  /** The map is loaded, or could not be. */
  onMap(map: Check): void
  /** A report has grown. `nodes` has the reports of all relays, in the order of the map. */
  onProgress(nodes: readonly NodeReport[]): void
}

/** Probes a target. Returns the report, or why the request cannot be met and nothing was probed. */
export async function probeTarget(
  { target, region, settings }: ProbeRequest,
  observer: ProbeObserver,
): Promise<ProbeReport | { readonly unfit: string }> {
  const startedAt = new Date()
  const startMs = performance.now()
  const context = { settings, shared: new SharedResources(), authorities: trustedAuthorities(settings) }
  const source =
    target.kind === 'relay'
      ? { map: undefined, nodes: [nodeOfRelay(target, settings)] }
      : await nodesOfMap(target, region, context)
  if ('unfit' in source) return source
  const { map } = source
  if (map !== undefined) observer.onMap(map)
  const nodes = await probeNodes(source.nodes, context, observer)
  const meshes: MeshCheck[] = []
  await checkMeshes(nodes, (check) => meshes.push(check))
  const seconds = (performance.now() - startMs) / 1_000
  return { startedAt, seconds, map, nodes, meshes }
}

interface MapNodes {
  readonly map: Check
  readonly nodes: readonly ProbedNode[]
}

async function nodesOfMap(
  target: MapTarget,
  region: string | undefined,
  { settings, authorities }: ProbeContext,
): Promise<MapNodes | { readonly unfit: string }> {
  const { timeoutMs, isInsecure } = settings
  let loaded: LoadedMap | undefined
  const outcome = await outcomeOf(async (): Promise<Outcome<true>> => {
    loaded = await loadMap(target, { timeoutMs, authorities, isInsecure })
    return loaded.outcome
  })
  const all = loaded?.map?.regions ?? []
  const wanted = all.filter(({ id, code }) => region === undefined || region === code || region === `${id}`)
  if (region !== undefined && all.length > 0 && wanted.length === 0) {
    const known = all.map(({ id, code }) => (code === '' ? `${id}` : code)).join(', ')
    return { unfit: `region ${JSON.stringify(region)} is not in the map; expected one of ${known}` }
  }
  const nodes = wanted.flatMap((one) => one.nodes.map((node) => nodeOfMap(one, node, settings)))
  if (nodes.length > NODES_MAX) {
    return {
      unfit: `the map has ${nodes.length} nodes; expected at most ${NODES_MAX}, or one region by -region`,
    }
  }
  return { map: checkOf('map', undefined, outcome), nodes }
}

/** Probes these relays, several at a time. */
export async function probeNodes(
  nodes: readonly ProbedNode[],
  context: ProbeContext,
  observer: Pick<ProbeObserver, 'onProgress'>,
): Promise<readonly NodeReport[]> {
  const probes: readonly NodeProbe[] = nodes.map(
    (node) => new NodeProbe(node, context, () => observer.onProgress(probes)),
  )
  const left = probes.values()
  const probeNext = async (): Promise<void> => {
    for (const one of left) await one.run()
  }
  await Promise.all(Array.from({ length: NODES_AT_ONCE }, probeNext))
  return probes
}

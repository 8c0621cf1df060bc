// `derpfleet probe`: looks at one relay, or at all relays of a DERP map, from outside, as clients do, and says what is
// good and what is not. Keeps nothing and changes nothing; the clients it logs in with are gone when it ends.

import { SharedResources } from '#client/shared-resources.ts'
import { ExitCode, type Command, type Io, type TextSink } from './command.ts'
import { checkOf, outcomeOf, type Check, type Outcome } from '#probe/check.ts'
import { loadMap, type LoadedMap } from '#probe/map-source.ts'
import { checkMeshes, type MeshCheck } from '#probe/mesh-checks.ts'
import { NodeProbe, type ProbeRun } from '#probe/node-probe.ts'
import { PROBE_OPTIONS, readProbeRequest, type ProbeSettings } from './probe-options.ts'
import {
  checkLines,
  coloured,
  countsOf,
  jsonText,
  meshLines,
  plain,
  ProbeTable,
  summaryLine,
  type Paint,
  type ProbeReport,
} from './probe-table.ts'
import { nodeOfMap, nodeOfRelay, TARGET_EXPECTED, type MapTarget, type ProbeNode } from '#probe/target.ts'
import { trustedAuthorities } from '#probe/tls-checks.ts'
import { EXIT_CODES, optionLines, reportProblems } from './report.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import { packageVersion } from '#ops/version.ts'

/** A few: enough that slow relays do not add up, so few that they don't disturb each other's times. */
const NODES_AT_ONCE = 4
/** More than the largest public map several times over; a map with more is probed region by region. */
const NODES_MAX = 512

export const probe: Command = {
  name: 'probe',
  summary: 'Check a relay, or all relays of a DERP map, as clients see them',
  async run(args, io) {
    const request = readProbeRequest(args)
    if (request.kind === 'help') {
      io.stdout.write(usage())
      return ExitCode.done
    }
    if (request.kind === 'misused') {
      reportProblems(io.stderr, 'derpfleet probe: nothing probed', request.problems)
      return ExitCode.misused
    }
    return probeTarget(request.settings, io)
  },
}

async function probeTarget(settings: ProbeSettings, io: Io): Promise<number> {
  const startedAt = new Date()
  const startMs = performance.now()
  const run = { settings, shared: new SharedResources(), authorities: trustedAuthorities(settings) }
  const { target } = settings
  const source =
    target.kind === 'relay' ? { nodes: [nodeOfRelay(target, settings)] } : await fromMap(target, run)
  if ('misuse' in source) {
    io.stderr.write(`derpfleet probe: nothing probed: ${source.misuse}\n`)
    return ExitCode.misused
  }
  const sink: TextSink = settings.isJson ? { write: () => true } : io.stdout
  const paint = isColourful(io) ? coloured : plain
  const map = 'map' in source ? source.map : undefined
  if (map !== undefined) sink.write(`${withoutSecrets(settings.targetText)}\n${checkLines([map], paint)}\n`)
  const nodes = await probeNodes(source.nodes, run, { sink, paint })
  const meshes: MeshCheck[] = []
  await checkMeshes(nodes, (check) => meshes.push(check))
  sink.write(meshLines(meshes, paint))
  const seconds = (performance.now() - startMs) / 1_000
  const report: ProbeReport = {
    target: withoutSecrets(settings.targetText),
    version: packageVersion(),
    startedAt,
    seconds,
    map,
    nodes,
    meshes,
  }
  sink.write(summaryLine(report))
  if (settings.isJson) io.stdout.write(jsonText(report))
  return countsOf(report).fail === 0 ? ExitCode.done : ExitCode.failed
}

interface MapSource {
  readonly map: Check
  readonly nodes: readonly ProbeNode[]
}

/** The map's relays; or what the user has to say differently. */
async function fromMap(
  target: MapTarget,
  { settings, authorities }: ProbeRun,
): Promise<MapSource | { readonly misuse: string }> {
  const { timeoutMs, isInsecure, region } = settings
  let loaded: LoadedMap | undefined
  const outcome = await outcomeOf(async (): Promise<Outcome<true>> => {
    loaded = await loadMap(target, { timeoutMs, authorities, isInsecure })
    return loaded.outcome
  })
  const all = loaded?.map?.regions ?? []
  const wanted = all.filter(({ id, code }) => region === undefined || region === code || region === `${id}`)
  if (region !== undefined && all.length > 0 && wanted.length === 0) {
    const known = all.map(({ id, code }) => (code === '' ? `${id}` : code)).join(', ')
    return { misuse: `-region: ${JSON.stringify(region)} is not in the map; expected one of ${known}` }
  }
  const nodes = wanted.flatMap((one) => one.nodes.map((node) => nodeOfMap(one, node, settings)))
  if (nodes.length > NODES_MAX) {
    return { misuse: `the map has ${nodes.length} nodes; expected at most ${NODES_MAX}, or -region CODE` }
  }
  return { map: checkOf('map', undefined, outcome), nodes }
}

async function probeNodes(
  nodes: readonly ProbeNode[],
  run: ProbeRun,
  { sink, paint }: { readonly sink: TextSink; readonly paint: Paint },
): Promise<readonly NodeProbe[]> {
  const probes: NodeProbe[] = []
  const table = new ProbeTable(sink, paint, probes)
  probes.push(...nodes.map((node) => new NodeProbe(node, run, () => table.flush())))
  const left = probes.values()
  const worker = async (): Promise<void> => {
    for (const one of left) await one.run()
  }
  await Promise.all(Array.from({ length: NODES_AT_ONCE }, worker))
  return probes
}

/** Colours are for people who see them and have not asked to be spared (no-color.org). */
function isColourful({ stdout, env }: Io): boolean {
  const isTerminal = 'isTTY' in stdout && stdout.isTTY === true
  return isTerminal && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

function usage(): string {
  return `usage: derpfleet probe TARGET [sha256-raw:PIN] [-FLAG VALUE]...\n\nTARGET is ${TARGET_EXPECTED}.\n\n${optionLines(PROBE_OPTIONS)}\n${EXIT_CODES}`
}

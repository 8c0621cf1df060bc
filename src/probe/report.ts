// The report of a probe: the findings about the map, its relays and their meshes, and their form as a JSON document for
// programs. The table for people is in cli/probe-table.ts.

import type { Check } from './check.ts'
import type { MeshCheck } from './mesh-checks.ts'
import type { NodeReport } from './node-probe.ts'

export interface ProbeReport {
  readonly startedAt: Date
  readonly seconds: number
  /** The check of the map itself; undefined for a single relay. */
  readonly map: Check | undefined
  readonly nodes: readonly NodeReport[]
  readonly meshes: readonly MeshCheck[]
}

export interface CheckCounts {
  readonly ok: number
  readonly fail: number
  readonly skip: number
}

/** Whether no check has failed. */
export function isGood(checks: readonly Check[]): boolean {
  return checks.every(({ status }) => status !== 'fail')
}

export function countsOf(report: ProbeReport): CheckCounts {
  const counts = { ok: 0, fail: 0, skip: 0 }
  for (const { status } of checksOf(report)) counts[status]++
  return counts
}

function checksOf({ map, nodes, meshes }: ProbeReport): readonly Check[] {
  return [...(map === undefined ? [] : [map]), ...nodes.flatMap(({ checks }) => checks), ...meshes]
}

/**
 * The report as JSON. A field without a value is null, so that each object always has the same fields.
 * @param about the target as it was given, without secrets, and this program's version
 */
export function jsonText(
  report: ProbeReport,
  about: { readonly target: string; readonly version: string },
): string {
  const { startedAt, seconds, map, nodes, meshes } = report
  const document = {
    version: about.version,
    target: about.target,
    startedAt: startedAt.toISOString(),
    seconds: rounded(seconds),
    ok: isGood(checksOf(report)),
    counts: countsOf(report),
    map: map === undefined ? null : checkJson(map),
    nodes: nodes.map(nodeJson),
    mesh: meshes.map((mesh) => ({
      regionId: mesh.regionId,
      from: mesh.from,
      to: mesh.to,
      status: mesh.status,
      ms: mesh.ms === undefined ? null : rounded(mesh.ms),
      detail: mesh.detail,
      hint: mesh.hint ?? null,
    })),
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function nodeJson({ node, checks, addresses, seenAs, serverKey, certificate }: NodeReport): object {
  return {
    name: node.name ?? null,
    region: node.region ?? null,
    host: node.host,
    port: node.port,
    ok: isGood(checks),
    addresses,
    serverKey: serverKey ?? null,
    seenAs: { ipv4: seenAs[4] ?? null, ipv6: seenAs[6] ?? null },
    certificate: certificate ?? null,
    checks: checks.map(checkJson),
  }
}

function checkJson({ name, family, status, ms, detail, hint }: Check): object {
  return {
    name,
    family: family ?? null,
    status,
    ms: ms === undefined ? null : rounded(ms),
    detail,
    hint: hint ?? null,
  }
}

/** To thousandths: these clocks are no finer than a microsecond. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000
}

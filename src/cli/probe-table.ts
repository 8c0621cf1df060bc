// What a probe prints: a table for people, which grows while relays are probed, and one JSON document for programs.
// Relays are probed several at once; the table shows them in the order of the map all the same.

import type { TextSink } from './command.ts'
import type { Check } from '#probe/check.ts'
import type { MeshCheck } from '#probe/mesh-checks.ts'
import type { NodeReport } from '#probe/node-probe.ts'
import { nodeTitle } from '#probe/target.ts'

/** All that a probe has found. */
export interface ProbeReport {
  readonly target: string
  readonly version: string
  readonly startedAt: Date
  readonly seconds: number
  /** The finding about the map itself; undefined for a single relay. */
  readonly map: Check | undefined
  readonly nodes: readonly NodeReport[]
  readonly meshes: readonly MeshCheck[]
}

export interface CheckCounts {
  readonly ok: number
  readonly fail: number
  readonly skip: number
}

/** Colours as escape sequences, or none. */
export type Paint = (status: Check['status'], text: string) => string

const COLOURS = { ok: '\u001b[32m', fail: '\u001b[1;31m', skip: '\u001b[2m' } as const
const COLOUR_END = '\u001b[0m'

export const plain: Paint = (_status, text) => text
export const coloured: Paint = (status, text) => COLOURS[status] + text + COLOUR_END

const WORDS = { ok: 'ok', fail: 'FAIL', skip: 'skip' } as const
const WORD_CHARS = 4
/** The longest check, `meta-certificate`, and its family. */
const NAME_CHARS = 22
const TIME_CHARS = 10

/** Prints checks as they come, each once. */
export class ProbeTable {
  readonly #sink: TextSink
  readonly #paint: Paint
  readonly #nodes: readonly NodeReport[]
  #nodeAt = 0
  #checkAt = 0

  constructor(sink: TextSink, paint: Paint, nodes: readonly NodeReport[]) {
    this.#sink = sink
    this.#paint = paint
    this.#nodes = nodes
  }

  /** Prints what has come since, as far as it is its turn. */
  flush(): void {
    for (;;) {
      const report = this.#nodes[this.#nodeAt]
      if (report === undefined) return
      if (this.#checkAt === 0 && report.checks.length > 0) this.#sink.write(titleLine(report))
      this.#sink.write(checkLines(report.checks.slice(this.#checkAt), this.#paint))
      this.#checkAt = report.checks.length
      if (!report.isDone) return
      this.#sink.write('\n')
      this.#nodeAt++
      this.#checkAt = 0
    }
  }
}

/** The lines of a list of checks. ThreadLinks that are skipped for one reason share a line. */
export function checkLines(checks: readonly Check[], paint: Paint): string {
  let lines = ''
  for (let at = 0; at < checks.length; at++) {
    const check = checks[at]
    if (check === undefined) break
    const names = [checkTitle(check)]
    while (isSameSkip(check, checks[at + 1])) names.push(checkTitle(checks[++at] ?? check))
    lines += checkLine(check, names, paint)
  }
  return lines
}

function isSameSkip(check: Check, next: Check | undefined): boolean {
  return check.status === 'skip' && next?.status === 'skip' && next.detail === check.detail
}

function checkLine(check: Check, names: readonly string[], paint: Paint): string {
  const { status, ms, detail, hint } = check
  const word = paint(status, WORDS[status].padEnd(WORD_CHARS))
  const time = (ms === undefined ? '' : `${ms.toFixed(1)} ms`).padStart(TIME_CHARS)
  const isSingle = names.length === 1
  const head = isSingle ? `${names.join('').padEnd(NAME_CHARS)}${time}  ` : `${names.join(', ')}: `
  const line = `  ${word}  ${head}${detail}\n`
  return hint === undefined ? line : `${line}${' '.repeat(WORD_CHARS + 4)}→ ${hint}\n`
}

function checkTitle({ name, family }: Check): string {
  return family === undefined ? name : `${name} IPv${family}`
}

function titleLine({ node }: NodeReport): string {
  if (node.region === undefined) return `${nodeTitle(node)}\n`
  const { id, code } = node.region
  return `region ${id}${code === '' ? '' : ` ${code}`}, ${nodeTitle(node)}\n`
}

/** The lines about regions' meshes; empty when there was no pair. */
export function meshLines(meshes: readonly MeshCheck[], paint: Paint): string {
  if (meshes.length === 0) return ''
  const lines = meshes.map((mesh) => {
    return checkLine(mesh, [`${mesh.from} → ${mesh.to}`], paint)
  })
  return `mesh\n${lines.join('')}\n`
}

/** The last line: how many of each, and which relays are not good. */
export function summaryLine(report: ProbeReport): string {
  const { ok, fail, skip } = countsOf(report)
  const bad = report.nodes.filter((node) => !isGood(node.checks)).map(({ node }) => nodeTitle(node))
  const counts = `${ok} ok, ${fail} failed, ${skip} skipped in ${report.seconds.toFixed(1)} s`
  const all = report.nodes.length === 1 ? '' : ` of ${report.nodes.length} relays`
  const which = bad.length === 0 ? '' : `; not good: ${bad.join(', ')}${all}`
  return `${counts}${which}\n`
}

/** Whether nothing has failed. */
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

/** The report as JSON; fields without a value are null, so that each object always has the same ones. */
export function jsonText(report: ProbeReport): string {
  const { target, version, startedAt, seconds, map, nodes, meshes } = report
  const document = {
    version,
    target,
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

/** Microseconds are as fine as these clocks are. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000
}

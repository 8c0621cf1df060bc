// The table that `derpfleet probe` prints for people. It grows while relays are probed. Several relays are probed at a
// time; the table still shows them in the order of the map.

import type { Check } from '#probe/check.ts'
import type { MeshCheck } from '#probe/mesh-checks.ts'
import type { NodeReport } from '#probe/node-probe.ts'
import { nodeTitle } from '#probe/probed-node.ts'
import { countsOf, isGood, type ProbeReport } from '#probe/report.ts'
import type { Io, TextSink } from './command.ts'

/** Adds the colour of a status, or none. */
export type Paint = (status: Check['status'], text: string) => string

const COLOURS = { ok: '\u001b[32m', fail: '\u001b[1;31m', skip: '\u001b[2m' } as const
const COLOUR_END = '\u001b[0m'

export const plain: Paint = (_status, text) => text
export const coloured: Paint = (status, text) => COLOURS[status] + text + COLOUR_END

/** Whether standard output is a terminal with colours whose user has not disabled them (no-color.org). */
export function isColourful({ stdout, env }: Pick<Io, 'stdout' | 'env'>): boolean {
  const isTerminal = 'isTTY' in stdout && stdout.isTTY === true
  return isTerminal && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

const STATUS_TEXTS = { ok: 'ok', fail: 'FAIL', skip: 'skip' } as const
const STATUS_CHARS = 4
/** The longest check, `meta-certificate`, with its family. */
const NAME_CHARS = 22
const TIME_CHARS = 10

/** Prints checks as they are made, each once. */
export class ProbeTable {
  readonly #sink: TextSink
  readonly #paint: Paint
  #nodeAt = 0
  #checkAt = 0

  constructor(sink: TextSink, paint: Paint) {
    this.#sink = sink
    this.#paint = paint
  }

  /** Prints the new checks of the relay that is shown next, and of the relays after it once that one is done. */
  flush(nodes: readonly NodeReport[]): void {
    for (;;) {
      const report = nodes[this.#nodeAt]
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

/** One line for each check. Consecutive checks that were skipped for the same reason share a line. */
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
  const statusText = paint(status, STATUS_TEXTS[status].padEnd(STATUS_CHARS))
  const time = (ms === undefined ? '' : `${ms.toFixed(1)} ms`).padStart(TIME_CHARS)
  const isSingle = names.length === 1
  const head = isSingle ? `${names.join('').padEnd(NAME_CHARS)}${time}  ` : `${names.join(', ')}: `
  const line = `  ${statusText}  ${head}${detail}\n`
  return hint === undefined ? line : `${line}${' '.repeat(STATUS_CHARS + 4)}→ ${hint}\n`
}

function checkTitle({ name, family }: Check): string {
  return family === undefined ? name : `${name} IPv${family}`
}

function titleLine({ node }: NodeReport): string {
  if (node.region === undefined) return `${nodeTitle(node)}\n`
  const { id, code } = node.region
  return `region ${id}${code === '' ? '' : ` ${code}`}, ${nodeTitle(node)}\n`
}

/** The lines about the meshes of regions; empty if no pair was checked. */
export function meshLines(meshes: readonly MeshCheck[], paint: Paint): string {
  if (meshes.length === 0) return ''
  const lines = meshes.map((mesh) => {
    return checkLine(mesh, [`${mesh.from} → ${mesh.to}`], paint)
  })
  return `mesh\n${lines.join('')}\n`
}

/** The last line: the number of checks by status, and the relays with a failed check. */
export function summaryLine(report: ProbeReport): string {
  const { ok, fail, skip } = countsOf(report)
  const failing = report.nodes.filter((node) => !isGood(node.checks)).map(({ node }) => nodeTitle(node))
  const counts = `${ok} ok, ${fail} failed, ${skip} skipped in ${report.seconds.toFixed(1)} s`
  const total = report.nodes.length === 1 ? '' : ` of ${report.nodes.length} relays`
  const which = failing.length === 0 ? '' : `; failing: ${failing.join(', ')}${total}`
  return `${counts}${which}\n`
}

// The report of `derpfleet doctor` for people: what is wrong first, each with what was seen, what was expected and what to
// do; then the rest on request, and a line of numbers.

import type { DoctorReport } from '#doctor/doctor.ts'
import type { Finding, FindingStatus } from '#doctor/finding.ts'
import { countsOf } from '#doctor/report.ts'
import type { Paint } from './probe-table.ts'

const STATUS_TEXTS = { ok: 'ok', warn: 'warn', fail: 'FAIL', skip: 'skip' } as const
/** `warn` has the colour of what is neither good nor bad. */
const PAINTED_AS = { ok: 'ok', warn: 'skip', fail: 'fail', skip: 'skip' } as const
const STATUS_CHARS = 4
/** The longest name of a check. */
const NAME_CHARS = 14
const INDENT = ' '.repeat(STATUS_CHARS + 4)
const WRONG_FIRST: readonly FindingStatus[] = ['fail', 'warn']

export function doctorText(
  report: DoctorReport,
  { isVerbose, paint }: { readonly isVerbose: boolean; readonly paint: Paint },
): string {
  const { findings } = report
  const wrong = WRONG_FIRST.flatMap((status) => findings.filter((one) => one.status === status))
  const rest = isVerbose ? findings.filter(({ status }) => !WRONG_FIRST.includes(status)) : []
  const lines = [...wrong, ...rest].map((finding) => findingText(finding, paint))
  return `${lines.join('')}${summary(report)}`
}

function findingText({ check, subject, status, seen, expected, advice }: Finding, paint: Paint): string {
  const head = paint(PAINTED_AS[status], STATUS_TEXTS[status].padEnd(STATUS_CHARS))
  const of = subject === '' ? '' : `${subject}: `
  const lines = [
    `  ${head}  ${check.padEnd(NAME_CHARS)}  ${of}${seen}`,
    ...(expected === '' ? [] : [`${INDENT}expected: ${expected}`]),
    ...(advice === '' ? [] : [`${INDENT}→ ${advice}`]),
  ]
  return `${lines.join('\n')}\n`
}

function summary(report: DoctorReport): string {
  const { ok, warn, fail, skip } = countsOf(report)
  const verdict = fail + warn === 0 ? 'nothing found: ' : ''
  return `${verdict}${ok} ok, ${warn} warnings, ${fail} failed, ${skip} skipped in ${report.seconds.toFixed(1)} s\n`
}

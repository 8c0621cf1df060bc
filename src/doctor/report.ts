// The report of an examination as a JSON document for programs. The table for people is in cli/doctor-table.ts.

import type { DoctorReport } from './doctor.ts'
import type { FindingStatus } from './finding.ts'

export type FindingCounts = Readonly<Record<FindingStatus, number>>

export function countsOf({ findings }: DoctorReport): FindingCounts {
  const counts = { ok: 0, warn: 0, fail: 0, skip: 0 }
  for (const { status } of findings) counts[status]++
  return counts
}

/** Each object always has the same fields. @param version of this program */
export function jsonText(report: DoctorReport, version: string): string {
  const { startedAt, seconds, findings } = report
  const counts = countsOf(report)
  const document = {
    version,
    startedAt: startedAt.toISOString(),
    seconds: Math.round(seconds * 1_000) / 1_000,
    ok: counts.fail === 0,
    counts,
    findings,
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

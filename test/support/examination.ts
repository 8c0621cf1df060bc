// Examines relays by the command `doctor` within this process, and what it found.

import { expect } from 'vitest'
import type { Finding } from '#doctor/finding.ts'
import { derpfleet } from '../cli/program.ts'

export interface Examination {
  readonly code: number
  readonly findings: readonly Finding[]
  /** Those that are warnings or failures, as `check` or `check?` for a warning, each once. */
  readonly wrong: readonly string[]
  of(check: string): Finding | undefined
}

export async function examination(...args: readonly string[]): Promise<Examination> {
  const { code, stdout, stderr } = await derpfleet(['doctor', '-json', ...args])
  expect(stderr).toBe('')
  const found = examinationOf(stdout)
  expect(code).toBe(found.code)
  return found
}

/** What the JSON of the command says, and the exit code that belongs to it. */
export function examinationOf(stdout: string): Examination {
  const { findings } = JSON.parse(stdout) as { readonly findings: readonly Finding[] }
  const wrong = findings.flatMap(({ check, status }) =>
    status === 'fail' ? [check] : status === 'warn' ? [`${check}?`] : [],
  )
  return {
    code: findings.some(({ status }) => status === 'fail') ? 1 : 0,
    findings,
    wrong: [...new Set(wrong)],
    of: (check) =>
      findings.find((one) => one.check === check && (one.status === 'fail' || one.status === 'warn')),
  }
}

// Whether what this relay counts is what it has: sessions, tables of keys, gauges, and admission. For derper's page `/debug/check`.
// Clients that come and leave while it counts explain as many differences; beyond that, a difference is a bug in this program.
// Runs on the control thread.

import { setTimeout as sleep } from 'node:timers/promises'
import { keyCount, rowsOf, type ClientSnapshot } from '#ops/client-snapshot.ts'
import type { HealthCheck } from '#ops/health.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import type { Counters, PlainCounter } from '#relay/counters.ts'

/** What one thread has told another is there after a moment: a difference counts if it is there each time. */
const ATTEMPTS = 3
const BETWEEN_MS = 100

export interface ConsistencyParts {
  readonly counters: () => readonly Counters[]
  readonly collect: () => Promise<ClientSnapshot>
  /** Keys may be counted by another run of this relay that shares them. */
  readonly hasOtherRun: () => boolean
  readonly admission: HealthCheck
}

/** Empty: all agrees. */
export async function consistencyProblems(parts: ConsistencyParts): Promise<readonly string[]> {
  for (let attempt = 1; ; attempt++) {
    const problems = await problemsOnce(parts)
    if (problems.length === 0 || attempt === ATTEMPTS) return problems
    await sleep(BETWEEN_MS)
  }
}

async function problemsOnce(parts: ConsistencyParts): Promise<readonly string[]> {
  const before = changes(parts.counters())
  const now = await parts.collect()
  const counters = parts.counters()
  const changed = changes(counters) - before
  const all = rowsOf(now)
  const clients = all.filter((row) => !now.has(row, 'sibling'))
  const having = (trait: Parameters<ClientSnapshot['has']>[1], rows = all): number =>
    rows.filter((row) => now.has(row, trait)).length
  const differs = (what: string, counted: number, found: number): readonly string[] =>
    Math.abs(counted - found) <= changed ? [] : [`${what} = ${counted} != ${found} that are here`]
  const keys = keyCount(now, clients)
  return [
    ...(now.isComplete ? [] : ['a relay thread does not answer']),
    ...(having('unlisted') > 0
      ? [`${having('unlisted')} sessions that the table of keys does not have`]
      : []),
    ...differs('connections', sum(counters, 'clientsCurrent'), all.length),
    ...differs('siblings', sum(counters, 'siblingsCurrent'), having('sibling')),
    ...differs('clients at home', sum(counters, 'clientsHome'), having('home')),
    ...differs(
      'connections of duplicate keys',
      sum(counters, 'duplicateSessions'),
      having('duplicate', clients),
    ),
    ...(parts.hasOtherRun()
      ? []
      : [
          ...differs('keys', sum(counters, 'keysCurrent'), keys),
          ...differs('keys', keys, having('active', clients)),
        ]),
    ...admissionProblems(parts.admission),
  ]
}

function admissionProblems(admission: HealthCheck): readonly string[] {
  if (admission.isOff === true) return []
  const { isOk, detail } = admission.check()
  return isOk ? [] : [`${admission.name}: ${detail}`]
}

function sum(counters: readonly Counters[], name: PlainCounter): number {
  return counters.reduce((total, one) => total + one.get(name), 0)
}

/** Grows by what makes numbers differ that were read one after another; a duplicate that comes or leaves changes two rows. */
function changes(counters: readonly Counters[]): number {
  const logins = sum(counters, 'loginsTotal')
  const ends = counters.reduce(
    (total, one) => total + END_REASONS.reduce((of, reason) => of + one.ended(reason), 0),
    0,
  )
  return 2 * (logins + ends) + sum(counters, 'homeMovesIn') + sum(counters, 'homeMovesOut')
}

// What an operator says of a tenant: its weight where clients compete for the relay, and how much its clients may send together.
// Reads one line of the list of keys; who is of which tenant is said there, too (key-list.ts).
//
//   tenant blue weight 2 bytes-per-second 12500000 packets-per-second 20000
//
// Contract: fields may be left out. Each is a whole number of 1 or more.

import { BUDGET_FIELDS, NO_BUDGET, readNumberFields, type Budget } from './budget.ts'

/** Of one tenant of one relay. */
export interface TenantRule extends Budget {
  /** Its share of a relay that cannot read all that is sent, beside those of other tenants. */
  readonly weight: number
}

export const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
export const TENANT_NAME_EXPECTED = '1 to 32 of a-z, 0-9 and -, not at either end'
/** Of a tenant about which nothing is said, and of all clients without one. */
export const USUAL_TENANT: TenantRule = { weight: 1, ...NO_BUDGET }

/** A tenant with a thousandth of another one's share waits for a second where that one waits for a millisecond. */
const WEIGHT_MAX = 1_000

const FIELDS = { weight: { name: 'weight', min: 1, max: WEIGHT_MAX }, ...BUDGET_FIELDS } as const

/** @param words of the line, after `tenant`. The problem completes "FILE:LINE: …" */
export function readTenantRule(
  words: readonly string[],
): { readonly name: string; readonly rule: TenantRule } | { readonly problem: string } {
  const [name = '', ...fields] = words
  if (!TENANT_NAME.test(name))
    return { problem: `the tenant "${name.slice(0, 40)}"; expected ${TENANT_NAME_EXPECTED}` }
  const read = readNumberFields<keyof TenantRule>(fields, FIELDS)
  return 'problem' in read ? read : { name, rule: { ...USUAL_TENANT, ...read.fields } }
}

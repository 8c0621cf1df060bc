// What an operator says of a tenant: its weight where clients compete for the relay, how much its clients may send together, and
// how much may be sent to them in a month. Reads one line of the list of keys; who is of which tenant is said there, too
// (key-list.ts).
//
//   tenant blue weight 2 bytes-per-second 12500000 packets-per-second 20000
//   tenant red month-bytes 2TB month-over disco
//
// Contract: fields may be left out. Numbers are whole, and 1 or more.

import { BUDGET_FIELDS, NO_BUDGET, readNumberFields, type Budget, type NumberField } from './budget.ts'
import type { MonthRule } from './relay-limits.ts'
import { parseSoldBytes, SOLD_BYTES_EXPECTED } from './sold-bytes.ts'

/** Of one tenant of one relay. */
export interface TenantRule extends Budget {
  /** Its share of a relay that cannot read all that is sent, beside those of other tenants. */
  readonly weight: number
  /** What one relay may send to its clients in a calendar month; undefined: nothing is said of that, and it is not counted. */
  readonly month?: MonthRule | undefined
}

export const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
export const TENANT_NAME_EXPECTED = '1 to 32 of a-z, 0-9 and -, not at either end'
/** Of a tenant about which nothing is said, and of all clients without one. */
export const USUAL_TENANT: TenantRule = { weight: 1, ...NO_BUDGET }

/** A tenant with a thousandth of another one's share waits for a second where that one waits for a millisecond. */
const WEIGHT_MAX = 1_000

const MONTH_BYTES = 'month-bytes'
const MONTH_OVER = 'month-over'
const FIELDS: Readonly<Record<string, NumberField<'weight' | keyof Budget>>> = {
  weight: { name: 'weight', min: 1, max: WEIGHT_MAX },
  ...BUDGET_FIELDS,
}

const WORDS = [...Object.keys(FIELDS), MONTH_BYTES, MONTH_OVER]

/** @param words of the line, after `tenant`. The problem completes "FILE:LINE: …" */
export function readTenantRule(
  words: readonly string[],
): { readonly name: string; readonly rule: TenantRule } | { readonly problem: string } {
  const [name = '', ...fields] = words
  if (!TENANT_NAME.test(name))
    return { problem: `the tenant "${name.slice(0, 40)}"; expected ${TENANT_NAME_EXPECTED}` }
  const { month, others, problem } = takeMonth(fields)
  if (problem !== undefined) return { problem }
  const unknown = others.find((word, at) => at % 2 === 0 && !Object.hasOwn(FIELDS, word))
  if (unknown !== undefined) return { problem: `"${unknown.slice(0, 40)}"; expected ${WORDS.join(', ')}` }
  const read = readNumberFields(others, FIELDS)
  if ('problem' in read) return read
  return { name, rule: { ...USUAL_TENANT, ...read.fields, ...(month && { month }) } }
}

interface MonthWords {
  readonly month?: MonthRule
  /** The words of other fields. */
  readonly others: readonly string[]
  readonly problem?: string
}

/** What is said of the month, wherever it stands in the line. */
function takeMonth(fields: readonly string[]): MonthWords {
  const others: string[] = []
  const said = new Map<string, string>()
  for (let at = 0; at < fields.length; at += 2) {
    const [word = '', ...value] = fields.slice(at, at + 2)
    if (word !== MONTH_BYTES && word !== MONTH_OVER) others.push(word, ...value)
    else if (said.has(word)) return { others, problem: `a second ${word}` }
    else said.set(word, value[0] ?? '')
  }
  const [bytes, over] = [said.get(MONTH_BYTES), said.get(MONTH_OVER) ?? 'alarm']
  if (over !== 'alarm' && over !== 'disco')
    return { others, problem: `${MONTH_OVER} is "${over.slice(0, 40)}"; expected alarm or disco` }
  if (bytes === undefined)
    return said.size === 0 ? { others } : { others, problem: `${MONTH_OVER} without ${MONTH_BYTES}` }
  const bytesMax = parseSoldBytes(bytes)
  if (bytesMax === undefined)
    return { others, problem: `${MONTH_BYTES} is "${bytes.slice(0, 40)}"; expected ${SOLD_BYTES_EXPECTED}` }
  return { month: { bytesMax, over }, others }
}

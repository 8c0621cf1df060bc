// The operator's list of keys: who is admitted without a back end, and who never is. Reads the text of the file; which file it
// is, and when it is read again, is its caller's matter. A list with any problem is not used at all.
//
//   nodekey:<64 hex digits>                a client that is admitted
//   allow <43 characters of base64>=       the same: how WireGuard writes keys
//   allow nodekey:<...> tenant blue        the same, of a tenant
//   allow nodekey:<...> bytes-per-second 1250000    the same, with a budget: budget.ts; after the tenant
//   tenant blue weight 2 month-bytes 2TB   what is said of a tenant: tenant-rule.ts
//   deny nodekey:<...>                     a client that is refused, whatever else is said of it
//   # a comment, also at the end of a line

import { BUDGET_FIELDS, isSameBudget, readBudget, type Budget } from './budget.ts'
import { keyName, keyNamed, parsePublicKey, parseUntypedKey } from './node-key.ts'
import { readTenantRule, TENANT_NAME, TENANT_NAME_EXPECTED, type TenantRule } from './tenant-rule.ts'

/** More members than any self-hosted network has. A hundred bytes for each, with a comment. */
const KEYS_MAX = 40_000
export const KEY_LIST_BYTES_MAX = 4_194_304
/** Tenants whose bytes of a month are counted: each is a line of a file that is written every ten seconds, and of a table. */
export const TENANT_MONTHS_MAX = 1_000
/** Nobody reads more, and each is a line of the log. */
const PROBLEMS_MAX = 20
/** Characters of what is no key that a message shows: it may be a secret. */
const SHOWN_CHARS = 8

export interface KeyRule {
  readonly isAllowed: boolean
  /** Undefined: of no tenant. */
  readonly tenant: string | undefined
  /** What it may send; undefined: nothing is said of that. */
  readonly budget?: Budget | undefined
}

export type KeyListText = { readonly list: KeyList } | { readonly problems: readonly string[] }

export class KeyList {
  /** What is said of tenants, by their names. */
  readonly tenantRules = new Map<string, TenantRule>()
  readonly #rules = new Map<string, KeyRule>()

  get size(): number {
    return this.#rules.size
  }

  find(key: Uint8Array): KeyRule | undefined {
    return this.#rules.get(keyName(key))
  }

  /** The keys that have a tenant, with its name. */
  *tenants(): Generator<readonly [key: Uint8Array, tenant: string]> {
    for (const [name, { tenant }] of this.#rules) if (tenant !== undefined) yield [keyNamed(name), tenant]
  }

  *rules(): Generator<readonly [key: Uint8Array, rule: KeyRule]> {
    for (const [name, rule] of this.#rules) yield [keyNamed(name), rule]
  }

  /** A refusal stays, whatever else is said of the key. Returns what is wrong with the rule. */
  add(key: Uint8Array, rule: KeyRule): string | undefined {
    const name = keyName(key)
    const before = this.#rules.get(name)
    if (before?.isAllowed === false) return undefined
    if (before !== undefined && rule.isAllowed && before.tenant !== rule.tenant)
      return 'this key is of another tenant above; expected one tenant for each key'
    if (before !== undefined && rule.isAllowed && !isSameBudget(before.budget, rule.budget))
      return 'this key has another budget above; expected one budget for each key'
    this.#rules.set(name, rule)
    return undefined
  }
}

/** @param path is only used to name the file in problems */
export function readKeyList(path: string, text: string): KeyListText {
  const list = new KeyList()
  const problems: string[] = []
  let line = 0
  for (const written of text.split('\n')) {
    line++
    const problem = addLine(list, written.replace(/#.*/, '').trim())
    if (problem === undefined) continue
    problems.push(`${path}:${line}: ${problem}`)
    if (problems.length === PROBLEMS_MAX) break
  }
  if (list.size > KEYS_MAX) problems.push(`${path} has ${list.size} keys; expected at most ${KEYS_MAX}`)
  const months = [...list.tenantRules.values()].filter(({ month }) => month !== undefined).length
  if (months > TENANT_MONTHS_MAX)
    problems.push(`${path} has ${months} tenants with month-bytes; expected at most ${TENANT_MONTHS_MAX}`)
  return problems.length > 0 ? { problems } : { list }
}

/** Returns what is wrong with the line. */
function addLine(list: KeyList, line: string): string | undefined {
  if (line === '') return undefined
  const words = line.split(/\s+/)
  if (words[0] === 'tenant') return addTenant(list, words.slice(1))
  const isAllowed = words[0] !== 'deny'
  if (words[0] === 'allow' || words[0] === 'deny') words.shift()
  const [keyText = '', ...more] = words
  const key = publicKeyFrom(keyText)
  if (key === undefined) return keyProblem(keyText)
  if (more.length === 0) return list.add(key, { isAllowed, tenant: undefined })
  if (!isAllowed) return `"${more.join(' ').slice(0, 40)}" for a key that is denied; expected "deny KEY"`
  const [word, tenant, ...afterTenant] = more
  const hasTenant = word === 'tenant'
  if (hasTenant && !TENANT_NAME.test(tenant ?? ''))
    return `the tenant "${(tenant ?? '').slice(0, 40)}"; expected ${TENANT_NAME_EXPECTED}`
  const budgetWords = hasTenant ? afterTenant : more
  const read = budgetWords.length === 0 ? { budget: undefined } : readBudget(budgetWords)
  if (!Object.hasOwn(BUDGET_FIELDS, budgetWords[0] ?? 'bytes-per-second'))
    return `"${budgetWords.join(' ').slice(0, 40)}" after the ${hasTenant ? 'tenant' : 'key'}; expected nothing, "tenant NAME", a budget, or a comment after #`
  if ('problem' in read) return read.problem
  return list.add(key, { isAllowed, tenant: hasTenant ? tenant : undefined, budget: read.budget })
}

function addTenant(list: KeyList, words: readonly string[]): string | undefined {
  const read = readTenantRule(words)
  if ('problem' in read) return read.problem
  if (list.tenantRules.has(read.name)) return `a second line about the tenant ${read.name}`
  list.tenantRules.set(read.name, read.rule)
  return undefined
}

/** The key as `nodekey:` and hex digits, as hex digits, or as WireGuard writes it. */
export function publicKeyFrom(text: string): Uint8Array | undefined {
  const key = parsePublicKey(text) ?? parseUntypedKey(text)
  if (key !== undefined || !/^[A-Za-z0-9+/]{43}=$/.test(text)) return key
  const bytes = Buffer.from(text, 'base64')
  // Other characters at the end stand for the same bytes: only one of them is the key as WireGuard writes it.
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined
}

/** What is wrong with a text that is no key. */
export function keyProblem(text: string): string {
  const expected = 'expected nodekey:<64 hex digits>, or 44 characters of base64 as WireGuard writes keys'
  if (text === '') return `no key; ${expected}`
  if (text.startsWith('privkey:'))
    return `a private key; ${expected}. Whoever has read this file can act as that client`
  const shown = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text
  return `"${shown}" is no key; ${expected}`
}

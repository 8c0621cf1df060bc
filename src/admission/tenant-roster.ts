// The keys that have a tenant, as the relay threads compare them: numbers in place of names, and what the operator says of each
// tenant. Who is of which tenant is said by `known-keys.ts`. Runs on the control thread.

import { KEY_BYTES } from '#protocol/limits.ts'
import { USUAL_TENANT, type TenantRule } from '#protocol/tenant-rule.ts'
import type { TenantRoster } from '#relay/ports.ts'

const NO_RULES: ReadonlyMap<string, TenantRule> = new Map()

/** With the names of the tenants, in the order of their numbers. */
export interface NamedRoster extends TenantRoster {
  readonly names: readonly string[]
}

/**
 * @param members each key once, with the name of its tenant
 * @param rules what is said of tenants, by their names
 */
export function rosterOf(
  members: Iterable<readonly [key: Uint8Array, tenant: string]>,
  areApart = true,
  rules = NO_RULES,
): NamedRoster {
  const all = [...members]
  const keys = new Uint8Array(all.length * KEY_BYTES)
  const tenants = new Uint32Array(all.length)
  const numbers = new Map<string, number>()
  for (const [n, [key, tenant]] of all.entries()) {
    const number = numbers.get(tenant) ?? numbers.size + 1
    numbers.set(tenant, number)
    keys.set(key, n * KEY_BYTES)
    tenants[n] = number
  }
  const names = [...numbers.keys()]
  return { keys, tenants, areApart, rules: names.map((name) => rules.get(name) ?? USUAL_TENANT), names }
}

// Tenants of a simulation's keys, which change at random.

import type { Random } from './random.ts'

/** The tenant of each key that has one, after that share of `keyCount` keys have got another of `tenantCount`, or none. */
export function changedTenants(
  before: ReadonlyMap<number, number>,
  random: Random,
  { keyCount, tenantCount, share }: { keyCount: number; tenantCount: number; share: number },
): ReadonlyMap<number, number> {
  const tenants = new Map(before)
  for (let key = 0; key < keyCount; key++) {
    if (!random.chance(share)) continue
    const tenant = random.between(0, tenantCount)
    if (tenant === 0) tenants.delete(key)
    else tenants.set(key, tenant)
  }
  return tenants
}

// Which tenant each key is of, while tenants are kept apart: a small number that the packet path compares. Keys that the roster
// does not have are a tenant of their own together. Without a roster all keys have that same number, so that nobody is apart
// from anybody. Which keys a tenant has is admission's business, what follows is `forward.ts`'s.

import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import type { TenantRoster } from './ports.ts'

/** Of keys without a tenant, and of all keys while tenants are not kept apart. */
const NO_TENANT = 0

export class Tenants {
  /** Packets pass within a tenant only. */
  areApart = false
  readonly #seed: number
  #numbers: KeyTable<number>

  /** @param seed 32 random bits for the table's hash */
  constructor(seed: number) {
    this.#seed = seed
    this.#numbers = new KeyTable(seed)
  }

  /** The tenant of the key bytes[at, at + 32). */
  of(bytes: Uint8Array, at: number): number {
    return this.areApart ? (this.#numbers.find(bytes, at) ?? NO_TENANT) : NO_TENANT
  }

  /** Undefined: tenants are not kept apart. */
  use(roster: TenantRoster | undefined): void {
    this.areApart = roster !== undefined
    this.#numbers = new KeyTable(this.#seed)
    if (roster === undefined) return
    const { keys, tenants } = roster
    for (const [n, tenant] of tenants.entries()) this.#numbers.set(keys, n * KEY_BYTES, tenant)
  }
}

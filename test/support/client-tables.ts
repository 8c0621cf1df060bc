// Tables of clients as one relay thread would have told them, from the numbers that matter to a test.

import type { ShownForms } from '#config/settings.ts'
import { ClientTable } from '#control/client-table.ts'
import { ShownIdentity } from '#control/shown-identity.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import {
  BYTES_PER_CLIENT,
  ClientFlag,
  ClientNumber,
  NUMBERS_PER_CLIENT,
  type ClientPart,
} from '#relay/client-part.ts'
import type { Actor } from './actor.ts'

/** The default. */
const SHOWN: ShownForms = { keys: 'short', addresses: 'full' }

type Flags = Partial<Record<keyof typeof ClientFlag, boolean>>

/** Numbers that are not given are 0; the connection's is that of the actor's key. */
export interface Row extends Partial<Record<keyof typeof ClientNumber, number>> {
  readonly who: Actor
  readonly ip?: string
  readonly app?: string
  readonly tenant?: string
  readonly is?: Flags
}

/** @returns at the moment of its first row */
export function tableOf(
  rows: readonly Row[],
  { isComplete = true, shown = SHOWN }: { readonly isComplete?: boolean; readonly shown?: ShownForms } = {},
): ClientTable {
  const tenantOf = (key: Uint8Array): string | undefined =>
    rows.find(({ who }) => bytesEqual(who.key, key))?.tenant
  const options = { atMs: rows[0]?.atMs ?? 0, threadCount: 1, shown: new ShownIdentity(shown), tenantOf }
  return new ClientTable([{ thread: 0, parts: [partOf(rows)], isComplete }], options)
}

function partOf(rows: readonly Row[]): ClientPart {
  const numbers = new Float64Array(rows.length * NUMBERS_PER_CLIENT)
  const bytes = new Uint8Array(rows.length * BYTES_PER_CLIENT)
  const appNames = new Map<number, string>()
  rows.forEach(({ who, ip = '192.0.2.1', app, tenant, is = {}, ...given }, row) => {
    const flags = Object.entries(is).reduce(
      (sum, [name, isSet]) => sum | (isSet ? ClientFlag[name as keyof Flags] : 0),
      0,
    )
    const all: Partial<Record<keyof typeof ClientNumber, number>> = {
      number: who.key[0] ?? 0,
      port: 40_000,
      flags,
      ...given,
    }
    for (const [name, value] of Object.entries(all))
      numbers[row * NUMBERS_PER_CLIENT + ClientNumber[name as keyof typeof ClientNumber]] = value
    bytes.set(who.key, row * BYTES_PER_CLIENT)
    bytes.set(ipToBytes(ip), row * BYTES_PER_CLIENT + who.key.length)
    if (app !== undefined) appNames.set(row, app)
    if (tenant === '') throw new Error('a tenant has a name')
  })
  return { count: rows.length, numbers, bytes, appNames, next: 0 }
}

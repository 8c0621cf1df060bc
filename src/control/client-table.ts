// The clients of this relay at a moment, packed as the relay threads have told of them. Ten thousand rows are two megabytes, and
// no object each. What pages make of it is in ops/. Runs on the control thread.

import { KEY_BYTES } from '#protocol/limits.ts'
import { publicKeyText, shortKey } from '#protocol/node-key.ts'
import { ipToText } from '#protocol/ip-address.ts'
import type { ClientField, ClientSnapshot, ClientTrait } from '#ops/client-snapshot.ts'
import {
  BYTES_PER_CLIENT,
  ClientFlag,
  ClientNumber,
  NUMBERS_PER_CLIENT,
  type ClientPart,
} from '#relay/client-part.ts'
import { remoteText } from '#transport/remote-address.ts'
import type { ShownIdentity } from './shown-identity.ts'

/** The parts of one thread, in the order in which it told them. */
export interface ThreadClients {
  readonly thread: number
  readonly parts: readonly ClientPart[]
  readonly isComplete: boolean
}

interface PartOfThread {
  readonly thread: number
  readonly part: ClientPart
}

export interface TableOptions {
  /** Unix time. */
  readonly atMs: number
  /** Of the relay, also of those that did not answer. */
  readonly threadCount: number
  readonly shown: ShownIdentity
  /** Undefined: of none. */
  readonly tenantOf: (key: Uint8Array) => string | undefined
}

export class ClientTable implements ClientSnapshot {
  readonly atMs: number
  readonly isComplete: boolean
  readonly #options: TableOptions
  /** Rows stay where they were told of: copies would take as long as everything else. */
  readonly #parts: readonly PartOfThread[]
  /** By row: which part it is in, and which row of that. */
  readonly #partOf: Uint32Array
  readonly #placeOf: Uint32Array
  readonly #rows = new Map<number, number>()

  constructor(told: readonly ThreadClients[], options: TableOptions) {
    this.atMs = options.atMs
    this.#options = options
    this.isComplete = told.every(({ isComplete }) => isComplete)
    this.#parts = told.flatMap(({ thread, parts }) => parts.map((part) => ({ thread, part })))
    const countMax = this.#parts.reduce((sum, { part }) => sum + part.count, 0)
    this.#partOf = new Uint32Array(countMax)
    this.#placeOf = new Uint32Array(countMax)
    for (const at of this.#parts.keys()) this.#add(at)
  }

  get count(): number {
    return this.#rows.size
  }

  /** A connection that was told of twice is there once. */
  #add(partAt: number): void {
    const { thread, part } = this.#parts[partAt] as PartOfThread
    for (let place = 0; place < part.count; place++) {
      const own = part.numbers[place * NUMBERS_PER_CLIENT + ClientNumber.number] ?? 0
      const id = own * this.#options.threadCount + thread
      if (this.#rows.has(id)) continue
      const row = this.#rows.size
      this.#rows.set(id, row)
      this.#partOf[row] = partAt
      this.#placeOf[row] = place
    }
  }

  idOf(row: number): number {
    return this.#number(row, ClientNumber.number) * this.#options.threadCount + this.threadOf(row)
  }

  rowOf(id: number): number | undefined {
    return this.#rows.get(id)
  }

  value(row: number, field: ClientField): number {
    return this.#number(row, ClientNumber[field])
  }

  has(row: number, trait: ClientTrait): boolean {
    return (this.#number(row, ClientNumber.flags) & ClientFlag[trait]) !== 0
  }

  threadOf(row: number): number {
    return this.#partAt(row).thread
  }

  keyOf(row: number): string {
    return publicKeyText(this.#key(row))
  }

  shortKeyOf(row: number): string {
    return shortKey(this.#key(row))
  }

  shownKeyOf(row: number, isWholeAsked: boolean): string {
    const { shown } = this.#options
    return isWholeAsked && shown.areKeysWhole ? this.keyOf(row) : (shown.key(this.#key(row)) ?? '')
  }

  shownRemoteOf(row: number): string {
    return this.#options.shown.remote({ ip: this.#ip(row), port: this.value(row, 'port') }) ?? ''
  }

  ipOf(row: number): string {
    return ipToText(this.#ip(row))
  }

  remoteOf(row: number): string {
    return remoteText({ ip: this.#ip(row), port: this.value(row, 'port') })
  }

  appNameOf(row: number): string {
    return this.#partAt(row).part.appNames.get(this.#placeOf[row] ?? 0) ?? ''
  }

  tenantOf(row: number): string {
    return this.#options.tenantOf(this.#key(row)) ?? ''
  }

  compareKeys(row: number, other: number): number {
    return Buffer.compare(this.#key(row), this.#key(other))
  }

  compareRemotes(row: number, other: number): number {
    const order = Buffer.compare(this.#ip(row), this.#ip(other))
    return order === 0 ? this.value(row, 'port') - this.value(other, 'port') : order
  }

  #partAt(row: number): PartOfThread {
    return this.#parts[this.#partOf[row] ?? 0] as PartOfThread
  }

  #number(row: number, at: ClientNumber): number {
    return this.#partAt(row).part.numbers[(this.#placeOf[row] ?? 0) * NUMBERS_PER_CLIENT + at] ?? 0
  }

  #key(row: number): Uint8Array {
    const start = (this.#placeOf[row] ?? 0) * BYTES_PER_CLIENT
    return this.#partAt(row).part.bytes.subarray(start, start + KEY_BYTES)
  }

  #ip(row: number): Uint8Array {
    const start = (this.#placeOf[row] ?? 0) * BYTES_PER_CLIENT
    return this.#partAt(row).part.bytes.subarray(start + KEY_BYTES, start + BYTES_PER_CLIENT)
  }
}

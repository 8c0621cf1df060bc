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
  readonly #numbers: Float64Array
  readonly #bytes: Uint8Array
  readonly #threads: Uint16Array
  readonly #appNames = new Map<number, string>()
  readonly #rows = new Map<number, number>()
  readonly #options: TableOptions

  constructor(told: readonly ThreadClients[], options: TableOptions) {
    this.atMs = options.atMs
    this.#options = options
    this.isComplete = told.every(({ isComplete }) => isComplete)
    const countMax = told.flatMap(({ parts }) => parts).reduce((sum, { count }) => sum + count, 0)
    this.#numbers = new Float64Array(countMax * NUMBERS_PER_CLIENT)
    this.#bytes = new Uint8Array(countMax * BYTES_PER_CLIENT)
    this.#threads = new Uint16Array(countMax)
    for (const { thread, parts } of told) for (const part of parts) this.#add(thread, part)
  }

  get count(): number {
    return this.#rows.size
  }

  /** A connection that was told of twice is there once. */
  #add(thread: number, { count, numbers, bytes, appNames }: ClientPart): void {
    for (let at = 0; at < count; at++) {
      const own = numbers[at * NUMBERS_PER_CLIENT + ClientNumber.number] ?? 0
      const id = own * this.#options.threadCount + thread
      if (this.#rows.has(id)) continue
      const row = this.#rows.size
      this.#rows.set(id, row)
      this.#numbers.set(
        numbers.subarray(at * NUMBERS_PER_CLIENT, (at + 1) * NUMBERS_PER_CLIENT),
        row * NUMBERS_PER_CLIENT,
      )
      this.#bytes.set(
        bytes.subarray(at * BYTES_PER_CLIENT, (at + 1) * BYTES_PER_CLIENT),
        row * BYTES_PER_CLIENT,
      )
      this.#threads[row] = thread
      const appName = appNames.get(at)
      if (appName !== undefined) this.#appNames.set(row, appName)
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
    return this.#threads[row] ?? 0
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
    return this.#appNames.get(row) ?? ''
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

  #number(row: number, at: ClientNumber): number {
    return this.#numbers[row * NUMBERS_PER_CLIENT + at] ?? 0
  }

  #key(row: number): Uint8Array {
    return this.#bytes.subarray(row * BYTES_PER_CLIENT, row * BYTES_PER_CLIENT + KEY_BYTES)
  }

  #ip(row: number): Uint8Array {
    return this.#bytes.subarray(row * BYTES_PER_CLIENT + KEY_BYTES, (row + 1) * BYTES_PER_CLIENT)
  }
}

// The keys that one sibling reports: puts its presence into the route table, up to a limit. Gets keys from frames and sends
// nothing. Runs on the relay thread.

import { startsWithAt } from '#protocol/bytes.ts'
import type { RankedSibling, RouteTable } from './route-table.ts'

export interface SiblingPresenceParts {
  readonly routeTable: RouteTable
  /** Keys that one sibling may have; presence beyond that is ignored and counted. */
  readonly keysMax: number
  /** This relay's key, which siblings report too. */
  readonly ownKey: Uint8Array
  /** The sibling sends its presence. If not, its routes come from the key directory and are not counted here. */
  readonly isWatched: boolean
}

export class SiblingPresence {
  readonly #sibling: RankedSibling
  readonly #parts: SiblingPresenceParts
  #keys = 0
  #keysRefused = 0

  constructor(sibling: RankedSibling, parts: SiblingPresenceParts) {
    this.#sibling = sibling
    this.#parts = parts
  }

  get keys(): number {
    return this.#keys
  }

  get keysRefused(): number {
    return this.#keysRefused
  }

  /** The key bytes[at, at + 32) is at the sibling. */
  add(bytes: Uint8Array, at: number): void {
    const { ownKey, keysMax, routeTable } = this.#parts
    if (startsWithAt(bytes, at, ownKey)) return
    if (this.#keys >= keysMax) this.#keysRefused++
    else if (routeTable.add(bytes, at, this.#sibling)) this.#keys++
  }

  /** The key is not at the sibling: it has left, or a packet for it could not be delivered there. */
  remove(bytes: Uint8Array, at: number): void {
    const { isWatched, routeTable } = this.#parts
    if (routeTable.remove(bytes, at, this.#sibling) && isWatched) this.#keys--
  }

  clear(): void {
    this.#parts.routeTable.forget(this.#sibling)
    this.#keys = 0
  }
}

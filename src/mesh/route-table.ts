// Which siblings have which keys, as their presence says: for each key those that have it, best first. A route table for one
// relay thread. Knows neither how siblings are reached nor who is connected here.
//
// Contract: presence is a set and not a count. Of siblings alike in rank the one that had the key first is kept to, so
// that a flow stays on one path.

import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import type { AddressedPacket, LookupOwner, Routes, ForwardTarget } from '#relay/ports.ts'

/** A sibling as the route table compares it with others. */
export interface RankedSibling extends ForwardTarget {
  /** The smaller the better. */
  readonly rank: number
}

/** Hears that packets for the key bytes[at, at + 32) go another way from now on; undefined: nowhere. */
export type RouteListener = (bytes: Uint8Array, at: number, route: ForwardTarget | undefined) => void

type Entry = RankedSibling | readonly RankedSibling[]

export class RouteTable implements Routes {
  readonly #table: KeyTable<Entry>
  readonly #changed: RouteListener
  /** Looks for keys that are not in the route table; undefined where all keys are. */
  lookup: Pick<Routes, 'lookUp'> | undefined = undefined

  /** @param seed 32 random bits for the table's hash */
  constructor(seed: number, changed: RouteListener) {
    this.#table = new KeyTable(seed)
    this.#changed = changed
  }

  /** Keys that some sibling has. */
  get size(): number {
    return this.#table.size
  }

  find(bytes: Uint8Array, at: number): ForwardTarget | undefined {
    const entry = this.#table.find(bytes, at)
    return isSeveral(entry) ? entry[0] : entry
  }

  lookUp(packet: AddressedPacket, asker: LookupOwner, nowMs: number): boolean {
    return this.lookup?.lookUp(packet, asker, nowMs) ?? false
  }

  /** `sibling` has the key. False: that was known. */
  add(bytes: Uint8Array, at: number, sibling: RankedSibling): boolean {
    const entry = this.#table.find(bytes, at)
    if (entry === undefined) {
      this.#table.set(bytes, at, sibling)
      this.#changed(bytes, at, sibling)
      return true
    }
    const known = isSeveral(entry) ? entry : [entry]
    if (known.includes(sibling)) return false
    const worse = known.findIndex((other) => other.rank > sibling.rank)
    const several = known.toSpliced(worse < 0 ? known.length : worse, 0, sibling)
    this.#table.set(bytes, at, several)
    if (several[0] === sibling) this.#changed(bytes, at, sibling)
    return true
  }

  /** `sibling` has the key no more. False: it was not known to. */
  remove(bytes: Uint8Array, at: number, sibling: RankedSibling): boolean {
    const entry = this.#table.find(bytes, at)
    if (entry === sibling) {
      this.#table.delete(bytes, at)
      this.#changed(bytes, at, undefined)
      return true
    }
    if (!isSeveral(entry) || !entry.includes(sibling)) return false
    const others = entry.filter((other) => other !== sibling)
    const [first] = others as [RankedSibling]
    this.#table.set(bytes, at, others.length === 1 ? first : others)
    if (entry[0] === sibling) this.#changed(bytes, at, first)
    return true
  }

  /** `sibling` has no key any more. */
  forget(sibling: RankedSibling): void {
    const keys = this.#table.keysWhere(
      (entry) => entry === sibling || (isSeveral(entry) && entry.includes(sibling)),
    )
    for (let at = 0; at < keys.length; at += KEY_BYTES) this.remove(keys, at, sibling)
  }
}

function isSeveral(entry: Entry | undefined): entry is readonly RankedSibling[] {
  return Array.isArray(entry)
}

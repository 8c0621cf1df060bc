// The route table of one relay thread: for each key the siblings that have it, best first, according to their presence.
// Knows neither how siblings are reached nor which peers are connected here.
//
// Contract: presence is a set, not a count. Among siblings of equal rank the first that had the key stays the route, so
// that a stream of packets keeps to one path.

import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import type { AddressedPacket, ForwardTarget, LookupOwner, RouteListener, Routes } from '#relay/ports.ts'

export interface RankedSibling extends ForwardTarget {
  /** The smallest is the best. */
  readonly rank: number
}

/** Called when a route changes. */
type OnRouteChanged = RouteListener['routeChanged']

type Entry = RankedSibling | readonly RankedSibling[]

export class RouteTable implements Routes {
  readonly #table: KeyTable<Entry>
  readonly #changed: OnRouteChanged
  /** Told of the keys, one after another, that a sibling had until the link to it was lost. */
  onLost: ((keys: Uint8Array) => void) | undefined = undefined
  /** Finds keys that are not in the table; undefined if the table has all keys. */
  lookup: Pick<Routes, 'lookUp'> | undefined = undefined

  /** @param seed 32 random bits for the table's hash */
  constructor(seed: number, changed: OnRouteChanged) {
    this.#table = new KeyTable(seed)
    this.#changed = changed
  }

  /** The number of keys that some sibling has. */
  get size(): number {
    return this.#table.size
  }

  find(bytes: Uint8Array, at: number): ForwardTarget | undefined {
    const entry = this.#table.find(bytes, at)
    return isSeveral(entry) ? entry[0] : entry
  }

  lookUp(packet: AddressedPacket, owner: LookupOwner, nowMs: number): boolean {
    return this.lookup?.lookUp(packet, owner, nowMs) ?? false
  }

  /** `sibling` has the key. Returns false if that was known. */
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

  /** `sibling` no longer has the key. Returns false if it was not known to have it. */
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

  /** `sibling` no longer has any key. */
  forget(sibling: RankedSibling): void {
    const keys = this.#table.keysWhere(
      (entry) => entry === sibling || (isSeveral(entry) && entry.includes(sibling)),
    )
    this.onLost?.(keys)
    for (let at = 0; at < keys.length; at += KEY_BYTES) this.remove(keys, at, sibling)
  }
}

function isSeveral(entry: Entry | undefined): entry is readonly RankedSibling[] {
  return Array.isArray(entry)
}

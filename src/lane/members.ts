// The keys of the roster in use, found by key and by proven address.

import { KeyTable } from '#protocol/key-table.ts'
import type { Roster } from '#protocol/lane-roster.ts'
import { type Link, Member, type UdpAddress } from './member.ts'

export class Members {
  readonly #seed: number
  #byKey: KeyTable<Member>
  #all: readonly Member[] = []
  readonly #byAddress = new Map<string, Map<number, Member>>()

  /** @param seed 32 random bits for the table's hash */
  constructor(seed: number) {
    this.#seed = seed
    this.#byKey = new KeyTable(seed)
  }

  get all(): readonly Member[] {
    return this.#all
  }

  /** The member with the key bytes[at, at + 32). */
  find(bytes: Uint8Array, at: number): Member | undefined {
    return this.#byKey.find(bytes, at)
  }

  /** The member that is proven to be at that address. */
  at(host: string, port: number): Member | undefined {
    return this.#byAddress.get(host)?.get(port)
  }

  /** These keys and links from now on. Returns the members that are none any more. */
  use(roster: Roster, nowMs: number): readonly Member[] {
    const before = this.#byKey
    const left = new Set(this.#all)
    const all = roster.map(({ key, name }) => {
      const member = before.find(key, 0) ?? new Member(key, nowMs)
      member.name = name
      left.delete(member)
      return member
    })
    this.#byKey = new KeyTable(this.#seed)
    for (const member of all) this.#byKey.set(member.key, 0, member)
    for (const [i, member] of all.entries())
      member.links = linksOf(
        member,
        roster[i]?.links.flatMap((n) => all[n] ?? []),
      )
    this.#all = all
    return [...left]
  }

  /** Moves a member to an address; undefined: it is not on the lane any more. An address has one member. */
  place(member: Member, address: UdpAddress | undefined): Member | undefined {
    this.#leave(member)
    member.address = address
    if (address === undefined) return undefined
    const before = this.at(address.host, address.port)
    if (before !== undefined) this.#leave(before)
    const ports = this.#byAddress.get(address.host) ?? new Map<number, Member>()
    ports.set(address.port, member)
    this.#byAddress.set(address.host, ports)
    return before
  }

  #leave(member: Member): void {
    const { address } = member
    if (address === undefined) return
    const ports = this.#byAddress.get(address.host)
    ports?.delete(address.port)
    if (ports?.size === 0) this.#byAddress.delete(address.host)
    member.address = undefined
  }
}

/** The links that the member has already are kept, with what is known of them. */
function linksOf(owner: Member, peers: readonly Member[] = []): ReadonlyMap<Member, Link> {
  return new Map(peers.map((peer) => [peer, owner.links.get(peer) ?? { owner, peer, routes: [] }]))
}

// How many connections and logins each address may make on this thread, and which addresses are refused for a while because they
// went on beyond that. An address is an IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has all. Nobody who
// is connected is ended. Refuses; closing is the transport's and the session's.
//
// Contract: bounded; the address that was quiet for longest is forgotten first. Without a rate nothing is looked up.

import { isMappedIpv4 } from '#protocol/ip-address.ts'
import { isInNetwork } from '#protocol/ip-network.ts'
import type { AddressRules } from '#protocol/relay-limits.ts'
import { Counter, type Counters } from './counters.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'

/** Of a thread: five megabytes. */
const ADDRESSES_MAX = 16_384
/** A whole office comes back at once after a restart; it has not come in the minute before. */
const BURST_SECONDS = 60
const BURST_MIN = 20

export type BanReason = 'connections' | 'logins'

export interface AddressGuardParts {
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** An address is refused from now on; the other threads are to refuse it, too. */
  readonly onBan: (ip: Uint8Array, reason: BanReason, forMs: number) => void
}

interface Address {
  readonly connections: TokenBucket
  readonly logins: TokenBucket
  /** What it may go on beyond its rates. */
  readonly strikes: TokenBucket
  bannedUntilMs: number
  /** A sibling has logged in from there. */
  isSibling: boolean
}

export class AddressGuard {
  readonly #parts: AddressGuardParts
  #rules: AddressRules
  readonly #addresses = new Map<string, Address>()
  /** Those of them that are refused for a while, or were. */
  readonly #banned = new Set<Address>()

  constructor(rules: AddressRules, parts: AddressGuardParts) {
    this.#rules = rules
    this.#parts = parts
  }

  /** Counts begin anew, and bans end, if the rules are others than before. */
  setRules(rules: AddressRules): void {
    if (JSON.stringify(rules) === JSON.stringify(this.#rules)) return
    this.#rules = rules
    const siblings = [...this.#addresses].filter(([, { isSibling }]) => isSibling)
    this.#addresses.clear()
    this.#banned.clear()
    for (const [name] of siblings) this.#add(name).isSibling = true
  }

  /** Takes a connection of the address from its rate. Returns false if the address may not have it. */
  mayConnect(ip: () => Uint8Array): boolean {
    return this.#rules.connectionsPerSecond === Infinity && this.#rules.loginsPerSecond === Infinity
      ? true
      : this.#mayHave(ip(), 'connections', Counter.addressRefusedConnections, Counter.addressBansConnections)
  }

  /** The same for a login. */
  mayLogIn(ip: Uint8Array): boolean {
    return this.#rules.loginsPerSecond === Infinity
      ? true
      : this.#mayHave(ip, 'logins', Counter.addressRefusedLogins, Counter.addressBansLogins)
  }

  /** A sibling has proven the mesh key from there: the address is not refused any more. */
  exempt(ip: Uint8Array): void {
    this.#find(ip).isSibling = true
  }

  isOfSibling(ip: Uint8Array): boolean {
    return this.#addresses.get(nameOf(ip))?.isSibling === true
  }

  /** Another thread has banned the address. */
  ban(ip: Uint8Array, forMs: number): void {
    const address = this.#find(ip)
    address.bannedUntilMs = Math.max(address.bannedUntilMs, this.#parts.now() + forMs)
    this.#banned.add(address)
  }

  /** How many addresses are refused now. To be asked now and then. */
  countBanned(): number {
    const nowMs = this.#parts.now()
    for (const address of this.#banned)
      if (address.bannedUntilMs <= nowMs || address.isSibling) this.#banned.delete(address)
    return this.#banned.size
  }

  #mayHave(ip: Uint8Array, what: BanReason, refusedCounter: number, bansCounter: number): boolean {
    const { counters, now, onBan } = this.#parts
    if (this.#rules.exempt.some((network) => isInNetwork(ip, network))) return true
    const address = this.#find(ip)
    const nowMs = now()
    if (address.isSibling) return true
    if (address.bannedUntilMs > nowMs) {
      counters.add(Counter.addressRefusedBanned, 1)
      return false
    }
    if (address[what].tryTake(1, nowMs)) return true
    counters.add(refusedCounter, 1)
    const { banMs } = this.#rules
    if (banMs === 0 || address.strikes.tryTake(1, nowMs)) return false
    address.bannedUntilMs = nowMs + banMs
    this.#banned.add(address)
    counters.add(bansCounter, 1)
    onBan(ip, what, banMs)
    return false
  }

  #find(ip: Uint8Array): Address {
    const name = nameOf(ip)
    const known = this.#addresses.get(name)
    if (known === undefined) return this.#add(name)
    // The one that was quiet for longest is in front.
    this.#addresses.delete(name)
    this.#addresses.set(name, known)
    return known
  }

  #add(name: string): Address {
    const nowMs = this.#parts.now()
    const { connectionsPerSecond, loginsPerSecond } = this.#rules
    const connections = bucketOf(connectionsPerSecond, nowMs)
    const logins = bucketOf(loginsPerSecond, nowMs)
    const strikes = bucketOf(Math.min(connectionsPerSecond, loginsPerSecond), nowMs)
    const address = { connections, logins, strikes, bannedUntilMs: 0, isSibling: false }
    this.#addresses.set(name, address)
    if (this.#addresses.size > ADDRESSES_MAX) this.#forgetFirst()
    return address
  }

  #forgetFirst(): void {
    const [first] = this.#addresses
    if (first === undefined) return
    this.#addresses.delete(first[0])
    this.#banned.delete(first[1])
  }
}

/** An infinite rate never runs out. */
function bucketOf(perSecond: number, nowMs: number): TokenBucket {
  const rate = Math.min(perSecond, Number.MAX_SAFE_INTEGER)
  return new TokenBucket(rate, Math.max(BURST_MIN, BURST_SECONDS * rate), nowMs)
}

/** Of IPv4 the four bytes, of IPv6 the first eight. */
function nameOf(ip: Uint8Array): string {
  const bytes = isMappedIpv4(ip) ? ip.subarray(12, 16) : ip.subarray(0, 8)
  return String.fromCharCode(...bytes)
}

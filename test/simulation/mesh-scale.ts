// A large fleet, at the size at which real sessions would not fit: relays are their route route table and, where they ask a key
// directory rather than watch each other, their key lookup and their admission service at it, all real; clients are keys. From a seed:
// clients come, go, move and are in two places, relays die and come back, relays lose each other. Messages between
// relays, or between relays and the directory, are counted.

import { createHash } from 'node:crypto'
import { DirectoryClient, type LocationUpdate } from '#mesh/directory-client.ts'
import { KeyLookup, type DialableSibling } from '#mesh/key-lookup.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { toHex } from '#protocol/bytes.ts'
import { Counters } from '#relay/counters.ts'
import { PacketKind } from '#relay/drop-reason.ts'
import type { AddressedPacket } from '#relay/ports.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeDirectoryServer, type FakeDirectory } from '../support/fake-directory.ts'
import type { Random } from './random.ts'

const REGION_SIZE = 4
const SWEEP_MS = 60

/** One relay without sessions. */
class Site {
  readonly index: number
  readonly keys = new Map<string, Uint8Array>()
  readonly routeTable: RouteTable
  /** Undefined where siblings are watched. */
  readonly asking: Asking | undefined
  isDown = false
  readonly #fleet: MeshScale
  readonly #siblings = new Map<Site, Way>()

  constructor(index: number, fleet: MeshScale, server: FakeDirectoryServer | undefined) {
    this.index = index
    this.#fleet = fleet
    this.routeTable = new RouteTable(index, () => undefined)
    this.asking = server && this.#askingAt(server.open(`relay-${index}`))
    this.routeTable.lookup = this.asking?.keyLookup
  }

  #askingAt(directory: FakeDirectory): Asking {
    const fleet = this.#fleet
    const update = ({ key, location }: LocationUpdate): void =>
      keyLookup.located(key, location, fleet.clock.now())
    const directoryClient = new DirectoryClient({
      directory,
      send: (_thread, one) => update(one),
      broadcast: update,
    })
    const keyLookup = new KeyLookup({
      locate: (key) => directoryClient.locate(0, key),
      sibling: (name) => this.wayTo(fleet.sites[Number(name.slice(6))] as Site),
      routeTable: this.routeTable,
      counters: new Counters(),
    })
    return { directory, directoryClient, keyLookup }
  }

  /** A client has come, whose home it is, or has left. */
  note(key: Uint8Array, isHome: boolean): void {
    if (isHome) this.keys.set(toHex(key), key)
    else this.keys.delete(toHex(key))
    if (this.asking !== undefined) return this.asking.directoryClient.homesChanged(0, [{ key, isHome }])
    for (const site of this.#fleet.sites) {
      if (site !== this && site.wayTo(this).isUp) site.hear(this, key, isHome)
    }
  }

  /** A sibling that is watched has told of a key. */
  hear(from: Site, key: Uint8Array, isThere: boolean): void {
    this.#fleet.messages++
    if (isThere) this.routeTable.add(key, 0, this.wayTo(from))
    else this.routeTable.remove(key, 0, this.wayTo(from))
  }

  /** The link to a sibling that is watched has been made. */
  find(site: Site): void {
    if (this.asking !== undefined || !this.wayTo(site).isUp) return
    for (const key of site.keys.values()) this.hear(site, key, true)
  }

  wayTo(site: Site): Way {
    const known = this.#siblings.get(site)
    if (known !== undefined) return known
    const way = new Way(this, site, this.#fleet)
    this.#siblings.set(site, way)
    return way
  }

  /** All ways to a relay that can't be reached any more are forgotten, as when its link breaks. */
  lose(site: Site): void {
    const way = this.#siblings.get(site)
    if (way !== undefined) this.routeTable.forget(way)
  }

  send(packet: AddressedPacket, nowMs: number): void {
    const id = toHex(packet.buffer.subarray(packet.start, packet.start + 32))
    if (this.keys.has(id)) return this.#fleet.delivered(this, this)
    const near = this.#fleet.regionOf(this).find((site) => site !== this && !site.isDown && site.keys.has(id))
    const route = near === undefined ? this.routeTable.find(packet.buffer, packet.start) : this.wayTo(near)
    if (route !== undefined) route.forward(packet, NOBODY, nowMs)
    else this.routeTable.lookUp(packet, { key: NOBODY, mayLookUp: () => true }, nowMs)
  }
}

/** What a relay has at a key directory. */
interface Asking {
  readonly directory: FakeDirectory
  readonly directoryClient: DirectoryClient
  readonly keyLookup: KeyLookup
}

const NOBODY = new Uint8Array(32)

/** A link between two relays. */
class Way implements DialableSibling {
  readonly rank = 1
  readonly #from: Site
  readonly #to: Site
  readonly #fleet: MeshScale

  constructor(from: Site, to: Site, fleet: MeshScale) {
    this.#from = from
    this.#to = to
    this.#fleet = fleet
  }

  get isUp(): boolean {
    return !this.#to.isDown && !this.#from.isDown && !this.#fleet.areParted(this.#from, this.#to)
  }

  wake(): void {}

  forward({ buffer, start }: AddressedPacket): void {
    if (!this.isUp) return
    const key = buffer.subarray(start, start + 32)
    // Delivered there or nowhere: what was forwarded is never forwarded again.
    if (this.#to.keys.has(toHex(key))) this.#fleet.delivered(this.#from, this.#to)
    else this.#from.routeTable.remove(key, 0, this)
  }
}

/** What became of packets. */
export interface Verdict {
  readonly sent: number
  /** Not delivered at the first try, because a way was out of date. */
  readonly stale: number
  readonly lost: number
  readonly twice: number
  /** Links between relays that a packet crossed. */
  readonly hopsMax: number
}

export interface FleetSize {
  readonly relays: number
  readonly keys: number
  /** Else relays watch each other. */
  readonly hasDirectory: boolean
}

export class MeshScale {
  readonly clock = new FakeClock()
  readonly sites: readonly Site[]
  readonly #server: FakeDirectoryServer | undefined
  readonly #random: Random
  readonly #keys: readonly Uint8Array[]
  /** Where each key is, the last one last. */
  readonly #at: Site[][]
  readonly #parted = new Set<number>()
  #hops: number[] = []
  /** Clients that came or went. */
  events = 0
  /** Of relays that watch each other. */
  messages = 0

  constructor(random: Random, { relays, keys, hasDirectory }: FleetSize) {
    this.#random = random
    this.#server = hasDirectory ? new FakeDirectoryServer(this.clock) : undefined
    this.sites = Array.from({ length: relays }, (_, i) => new Site(i, this, this.#server))
    this.#keys = Array.from({ length: keys }, (_, i) => createHash('sha256').update(`key ${i}`).digest())
    this.#at = this.#keys.map(() => [])
    for (const i of this.#keys.keys()) this.#join(i, this.sites[i % relays] as Site)
  }

  regionOf(site: Site): readonly Site[] {
    const first = site.index - (site.index % REGION_SIZE)
    return this.sites.slice(first, first + REGION_SIZE)
  }

  areParted(a: Site, b: Site): boolean {
    return this.#parted.has(this.#pair(a, b))
  }

  delivered(from: Site, to: Site): void {
    this.#hops.push(from === to ? 0 : 1)
  }

  /** Clients move, relays die and come back, relays lose each other: so many events, with traffic between them. */
  disturb(events: number): void {
    for (let i = 0; i < events; i++) {
      const key = this.#random.between(0, this.#keys.length - 1)
      if (this.#random.chance(0.9)) this.#move(key)
      else if (this.#random.chance(0.5)) this.#restart(this.#site())
      else this.#part(this.#site(), this.#site())
      this.#send(this.#site(), this.#random.between(0, this.#keys.length - 1))
      if (i % 100 === 0) this.#pass(SWEEP_MS)
    }
    for (const pair of this.#parted) this.#heal(pair)
    this.#pass(4_000)
  }

  /** So many clients move to another relay, and nothing else happens. */
  moveSome(count: number): void {
    for (let i = 0; i < count; i++) this.#move(this.#random.between(0, this.#keys.length - 1))
  }

  /** A relay dies and comes back with the clients that it had. */
  restartOne(): void {
    this.#restart(this.#site())
  }

  /** Sends so many packets; returns how many went otherwise than they should. */
  judge(packets: number): Verdict {
    const result = { sent: 0, stale: 0, lost: 0, twice: 0, hopsMax: 0 }
    for (let i = 0; i < packets; i++) {
      const key = this.#random.between(0, this.#keys.length - 1)
      if ((this.#at[key] ?? []).length === 0) continue
      this.#hops = []
      const from = this.#site()
      this.#send(from, key)
      this.#pass(2 * SWEEP_MS)
      // A stale way is found out by the first packet that takes it; its owner sends again.
      if (this.#hops.length === 0) {
        result.stale++
        this.#send(from, key)
        this.#pass(2 * SWEEP_MS)
      }
      result.sent++
      if (this.#hops.length === 0) result.lost++
      if (this.#hops.length > 1) result.twice++
      result.hopsMax = Math.max(result.hopsMax, ...this.#hops)
    }
    return result
  }

  /** Keys that the directory still gives a dead relay. */
  remnantsOf(index: number): number {
    const site = this.sites[index] as Site
    this.#kill(site)
    const asker = this.sites.find((one) => one !== site) as Site
    const isRemnant = (key: Uint8Array): boolean => {
      if (asker.asking === undefined || site.asking === undefined)
        return asker.routeTable.find(key, 0) === asker.wayTo(site)
      return this.#server?.find(toHex(key), asker.asking.directory) === site.asking.directory.name
    }
    return [...site.keys.values()].filter(isRemnant).length
  }

  /** Messages between relays, or between relays and the directory, so far. */
  get messageCount(): number {
    return this.messages + (this.#server?.messageCount ?? 0)
  }

  #send(from: Site, key: number): void {
    if (from.isDown) return
    const buffer = Buffer.concat([this.#keys[key] ?? NOBODY, Buffer.alloc(8)])
    from.send({ buffer, start: 0, packetAt: 32, end: buffer.length, kind: PacketKind.data }, this.clock.now())
  }

  #pass(ms: number): void {
    for (let left = ms; left > 0; left -= SWEEP_MS) {
      this.clock.advance(Math.min(left, SWEEP_MS))
      for (const { asking, isDown } of this.sites) if (!isDown) asking?.keyLookup.sweep(this.clock.now())
    }
  }

  #site(): Site {
    return this.#random.pick(this.sites) as Site
  }

  #move(key: number): void {
    const at = this.#at[key] ?? []
    const to = this.#site()
    if (to.isDown || at.includes(to)) return
    this.#join(key, to)
    // Most leave where they were, some stay in both places for a while.
    if (this.#random.chance(0.9)) for (const site of at.slice()) if (site !== to) this.#leave(key, site)
  }

  #join(key: number, site: Site): void {
    this.#at[key]?.push(site)
    site.note(this.#keys[key] as Uint8Array, true)
    this.events++
  }

  #leave(key: number, site: Site): void {
    this.#at[key] = (this.#at[key] ?? []).filter((one) => one !== site)
    site.note(this.#keys[key] as Uint8Array, false)
    this.events++
  }

  #kill(site: Site): void {
    site.isDown = true
    if (site.asking !== undefined) site.asking.directory.isUnreachable = true
    for (const other of this.sites) {
      other.lose(site)
      site.lose(other)
    }
  }

  #restart(site: Site): void {
    this.#kill(site)
    this.#pass(SWEEP_MS)
    site.isDown = false
    if (site.asking !== undefined) site.asking.directory.isUnreachable = false
    for (const other of this.sites) {
      if (other === site) continue
      other.find(site)
      site.find(other)
    }
  }

  #part(a: Site, b: Site): void {
    if (a === b) return
    const pair = this.#pair(a, b)
    if (this.#parted.has(pair)) return this.#heal(pair)
    this.#parted.add(pair)
    a.lose(b)
    b.lose(a)
  }

  #heal(pair: number): void {
    this.#parted.delete(pair)
    const [a, b] = [this.sites[Math.floor(pair / this.sites.length)], this.sites[pair % this.sites.length]]
    if (a === undefined || b === undefined) return
    a.find(b)
    b.find(a)
  }

  #pair(a: Site, b: Site): number {
    return Math.min(a.index, b.index) * this.sites.length + Math.max(a.index, b.index)
  }
}

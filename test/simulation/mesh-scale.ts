// A large fleet, of a size at which real sessions would not fit: relays are their route table and, if they look keys up
// in a key directory instead of watching each other, their key lookup and directory client, all real; clients are keys.
// From a seed: clients connect, disconnect, move and are in two places, relays die and are restarted, links between
// relays break. Counts the messages between relays, or between relays and the directory.

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

/** A relay without sessions. */
class ScaleRelay {
  readonly index: number
  readonly keys = new Map<string, Uint8Array>()
  readonly routeTable: RouteTable
  /** Undefined if siblings watch each other. */
  readonly access: DirectoryAccess | undefined
  isDown = false
  readonly #fleet: MeshScale
  readonly #siblings = new Map<ScaleRelay, ScaleLink>()

  constructor(index: number, fleet: MeshScale, server: FakeDirectoryServer | undefined) {
    this.index = index
    this.#fleet = fleet
    this.routeTable = new RouteTable(index, () => undefined)
    this.access = server && this.#accessAt(server.open(`relay-${index}`))
    this.routeTable.lookup = this.access?.keyLookup
  }

  #accessAt(directory: FakeDirectory): DirectoryAccess {
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
      sibling: (name) => this.linkTo(fleet.relays[Number(name.slice(6))] as ScaleRelay),
      routeTable: this.routeTable,
      counters: new Counters(),
    })
    return { directory, directoryClient, keyLookup }
  }

  /** A client has connected, whose home this relay is, or has disconnected. */
  note(key: Uint8Array, isHome: boolean): void {
    if (isHome) this.keys.set(toHex(key), key)
    else this.keys.delete(toHex(key))
    if (this.access !== undefined) return this.access.directoryClient.homesChanged(0, [{ key, isHome }])
    for (const relay of this.#fleet.relays) {
      if (relay !== this && relay.linkTo(this).isUp) relay.told(this, key, isHome)
    }
  }

  /** A watched sibling says that a key is there, or is not any more. */
  told(from: ScaleRelay, key: Uint8Array, isThere: boolean): void {
    this.#fleet.messages++
    if (isThere) this.routeTable.add(key, 0, this.linkTo(from))
    else this.routeTable.remove(key, 0, this.linkTo(from))
  }

  /** The link to a watched sibling has connected. */
  linkUp(relay: ScaleRelay): void {
    if (this.access !== undefined || !this.linkTo(relay).isUp) return
    for (const key of relay.keys.values()) this.told(relay, key, true)
  }

  linkTo(relay: ScaleRelay): ScaleLink {
    const known = this.#siblings.get(relay)
    if (known !== undefined) return known
    const link = new ScaleLink(this, relay, this.#fleet)
    this.#siblings.set(relay, link)
    return link
  }

  /** The link to a relay has broken: all routes over it are forgotten. */
  linkLost(relay: ScaleRelay): void {
    const link = this.#siblings.get(relay)
    if (link !== undefined) this.routeTable.forget(link)
  }

  send(packet: AddressedPacket, nowMs: number): void {
    const id = toHex(packet.buffer.subarray(packet.start, packet.start + 32))
    if (this.keys.has(id)) return this.#fleet.delivered(this, this)
    const near = this.#fleet
      .regionOf(this)
      .find((relay) => relay !== this && !relay.isDown && relay.keys.has(id))
    const route = near === undefined ? this.routeTable.find(packet.buffer, packet.start) : this.linkTo(near)
    if (route !== undefined) route.forward(packet, NO_KEY, nowMs)
    else this.routeTable.lookUp(packet, { key: NO_KEY, mayLookUp: () => true }, nowMs)
  }
}

/** A relay's access to the key directory. */
interface DirectoryAccess {
  readonly directory: FakeDirectory
  readonly directoryClient: DirectoryClient
  readonly keyLookup: KeyLookup
}

const NO_KEY = new Uint8Array(32)

/** A link between two relays. */
class ScaleLink implements DialableSibling {
  readonly isDraining = false
  readonly rank = 1
  readonly #from: ScaleRelay
  readonly #to: ScaleRelay
  readonly #fleet: MeshScale

  constructor(from: ScaleRelay, to: ScaleRelay, fleet: MeshScale) {
    this.#from = from
    this.#to = to
    this.#fleet = fleet
  }

  /** Relays of one region know each other's keys without a directory. */
  get isWatched(): boolean {
    return this.#from.access === undefined || this.#fleet.regionOf(this.#from).includes(this.#to)
  }

  get isUp(): boolean {
    return !this.#to.isDown && !this.#from.isDown && !this.#fleet.arePartitioned(this.#from, this.#to)
  }

  wake(): void {}

  forward({ buffer, start }: AddressedPacket): void {
    if (!this.isUp) return
    const key = buffer.subarray(start, start + 32)
    // Delivered there or nowhere: a forwarded packet is never forwarded again.
    if (this.#to.keys.has(toHex(key))) this.#fleet.delivered(this.#from, this.#to)
    else this.#from.routeTable.remove(key, 0, this)
  }
}

/** Results of packets that were sent. */
export interface Deliveries {
  readonly sent: number
  /** Not delivered at the first try, because a route was out of date. */
  readonly stale: number
  readonly lost: number
  readonly twice: number
  /** The most links between relays that a packet took. */
  readonly hopsMax: number
}

export interface FleetSize {
  readonly relays: number
  readonly keys: number
  /** Otherwise relays watch each other. */
  readonly hasDirectory: boolean
}

export class MeshScale {
  readonly clock = new FakeClock()
  readonly relays: readonly ScaleRelay[]
  readonly #server: FakeDirectoryServer | undefined
  readonly #random: Random
  readonly #keys: readonly Uint8Array[]
  /** By key: the relays where it is, the latest one last. */
  readonly #at: ScaleRelay[][]
  readonly #partitioned = new Set<number>()
  #hops: number[] = []
  /** Clients that connected or disconnected. */
  events = 0
  /** Between relays that watch each other. */
  messages = 0

  constructor(random: Random, { relays, keys, hasDirectory }: FleetSize) {
    this.#random = random
    this.#server = hasDirectory ? new FakeDirectoryServer(this.clock) : undefined
    this.relays = Array.from({ length: relays }, (_, i) => new ScaleRelay(i, this, this.#server))
    this.#keys = Array.from({ length: keys }, (_, i) => createHash('sha256').update(`key ${i}`).digest())
    this.#at = this.#keys.map(() => [])
    for (const i of this.#keys.keys()) this.#join(i, this.relays[i % relays] as ScaleRelay)
  }

  regionOf(relay: ScaleRelay): readonly ScaleRelay[] {
    const first = relay.index - (relay.index % REGION_SIZE)
    return this.relays.slice(first, first + REGION_SIZE)
  }

  arePartitioned(a: ScaleRelay, b: ScaleRelay): boolean {
    return this.#partitioned.has(this.#pair(a, b))
  }

  delivered(from: ScaleRelay, to: ScaleRelay): void {
    this.#hops.push(from === to ? 0 : 1)
  }

  /** Clients move, relays die and are restarted, links break: so many events, with traffic between them. */
  disturb(events: number): void {
    for (let i = 0; i < events; i++) {
      const key = this.#random.between(0, this.#keys.length - 1)
      if (this.#random.chance(0.9)) this.#move(key)
      else if (this.#random.chance(0.5)) this.#restart(this.#relay())
      else this.#partition(this.#relay(), this.#relay())
      this.#send(this.#relay(), this.#random.between(0, this.#keys.length - 1))
      if (i % 100 === 0) this.#pass(SWEEP_MS)
    }
    for (const pair of this.#partitioned) this.#heal(pair)
    this.#pass(4_000)
  }

  /** So many clients move to another relay, and nothing else happens. */
  moveSome(count: number): void {
    for (let i = 0; i < count; i++) this.#move(this.#random.between(0, this.#keys.length - 1))
  }

  /** A relay dies and is restarted with the clients that it had. */
  restartOne(): void {
    this.#restart(this.#relay())
  }

  /** Sends so many packets, and counts those that did not arrive as they should. */
  check(packets: number): Deliveries {
    const result = { sent: 0, stale: 0, lost: 0, twice: 0, hopsMax: 0 }
    for (let i = 0; i < packets; i++) {
      const key = this.#random.between(0, this.#keys.length - 1)
      if ((this.#at[key] ?? []).length === 0) continue
      this.#hops = []
      const from = this.#relay()
      this.#send(from, key)
      this.#pass(2 * SWEEP_MS)
      // The first packet over a stale route removes it; its sender sends again.
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

  /** Counts the keys that others still route to a relay that has died. */
  staleKeysOf(index: number): number {
    const relay = this.relays[index] as ScaleRelay
    this.#kill(relay)
    const asker = this.relays.find((one) => one !== relay) as ScaleRelay
    const isStale = (key: Uint8Array): boolean => {
      if (asker.access === undefined || relay.access === undefined)
        return asker.routeTable.find(key, 0) === asker.linkTo(relay)
      return this.#server?.find(toHex(key), asker.access.directory) === relay.access.directory.name
    }
    return [...relay.keys.values()].filter(isStale).length
  }

  /** Messages between relays, or between relays and the directory, so far. */
  get messageCount(): number {
    return this.messages + (this.#server?.messageCount ?? 0)
  }

  #send(from: ScaleRelay, key: number): void {
    if (from.isDown) return
    const buffer = Buffer.concat([this.#keys[key] ?? NO_KEY, Buffer.alloc(8)])
    const packet = { buffer, start: 0, packetAt: 32, end: buffer.length, kind: PacketKind.data }
    from.send({ ...packet, isForwarded: false }, this.clock.now())
  }

  #pass(ms: number): void {
    for (let left = ms; left > 0; left -= SWEEP_MS) {
      this.clock.advance(Math.min(left, SWEEP_MS))
      for (const { access, isDown } of this.relays) if (!isDown) access?.keyLookup.sweep(this.clock.now())
    }
  }

  #relay(): ScaleRelay {
    return this.#random.pick(this.relays) as ScaleRelay
  }

  #move(key: number): void {
    const at = this.#at[key] ?? []
    const to = this.#relay()
    if (to.isDown || at.includes(to)) return
    this.#join(key, to)
    // Most leave their old relay, some stay at both for a while.
    if (this.#random.chance(0.9)) for (const relay of at.slice()) if (relay !== to) this.#leave(key, relay)
  }

  #join(key: number, relay: ScaleRelay): void {
    this.#at[key]?.push(relay)
    relay.note(this.#keys[key] as Uint8Array, true)
    this.events++
  }

  #leave(key: number, relay: ScaleRelay): void {
    this.#at[key] = (this.#at[key] ?? []).filter((one) => one !== relay)
    relay.note(this.#keys[key] as Uint8Array, false)
    this.events++
  }

  #kill(relay: ScaleRelay): void {
    relay.isDown = true
    if (relay.access !== undefined) relay.access.directory.isUnreachable = true
    for (const other of this.relays) {
      other.linkLost(relay)
      relay.linkLost(other)
    }
  }

  #restart(relay: ScaleRelay): void {
    this.#kill(relay)
    this.#pass(SWEEP_MS)
    relay.isDown = false
    if (relay.access !== undefined) relay.access.directory.isUnreachable = false
    for (const other of this.relays) {
      if (other === relay) continue
      other.linkUp(relay)
      relay.linkUp(other)
    }
  }

  #partition(a: ScaleRelay, b: ScaleRelay): void {
    if (a === b) return
    const pair = this.#pair(a, b)
    if (this.#partitioned.has(pair)) return this.#heal(pair)
    this.#partitioned.add(pair)
    a.linkLost(b)
    b.linkLost(a)
  }

  #heal(pair: number): void {
    this.#partitioned.delete(pair)
    const [a, b] = [
      this.relays[Math.floor(pair / this.relays.length)],
      this.relays[pair % this.relays.length],
    ]
    if (a === undefined || b === undefined) return
    a.linkUp(b)
    b.linkUp(a)
  }

  #pair(a: ScaleRelay, b: ScaleRelay): number {
    return Math.min(a.index, b.index) * this.relays.length + Math.max(a.index, b.index)
  }
}

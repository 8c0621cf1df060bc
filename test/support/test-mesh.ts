// Several relays without sockets under one clock, meshed by the project's own sibling links: each dials the others over
// connections that the test may break, stall and refuse. Everything is synchronous.

import { BufferPool } from '#protocol/buffer-pool.ts'
import { BoxSecret } from '#protocol/box.ts'
import { FrameReader, FrameAction } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { readServerKey } from '#protocol/handshake.ts'
import { DirectoryClient, type LocationUpdate } from '#mesh/directory-client.ts'
import { KeyLookup } from '#mesh/key-lookup.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { SiblingStream, Dial, DialHandler } from '#mesh/dial.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { Siblings } from '#mesh/siblings.ts'
import type { SiblingOutbox } from '#relay/ports.ts'
import type { Relay } from '#relay/relay.ts'
import { sha256 } from '../vectors/hex.ts'
import { meshKey } from '../vectors/keys.ts'
import { actor, type Actor } from './actor.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeDirectoryServer, type FakeDirectory } from './fake-directory.ts'
import type { FakeLink } from './fake-link.ts'
import type { MemoryClient } from './memory-client.ts'
import { SWEEP_EVERY_MS, TestRelay, type ConnectOptions } from './test-relay.ts'

/** The most that may wait for one sibling. */
const OUTBOX_BYTES = 1_048_576

/** The address of a relay. The part of its name before the last hyphen is its region, if there is one. */
function addressOf(name: string, seenFrom: string, hasDirectory: boolean): Sibling {
  const isInside = regionOf(name) === regionOf(seenFrom)
  const place = { host: `${name}.lab`, port: 443, dialHost: undefined, certName: undefined }
  return { name, ...place, isInside, isWatched: isInside || !hasDirectory, nodes: [name] }
}

function regionOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('-')))
}

/** One relay of one thread with its siblings. */
export class MeshNode {
  readonly name: string
  readonly relay: TestRelay
  readonly siblings: Siblings
  readonly routeTable: RouteTable
  /** Its connection to the key directory, if there is one. */
  readonly directory: FakeDirectory | undefined
  readonly keyLookup: KeyLookup | undefined
  /** Connections to it are refused. */
  isDown = false
  /** Called when a sibling tells its state. */
  onRelayState: (key: Uint8Array, state: Uint8Array) => void = () => undefined
  /** What changed, in order. */
  readonly changes: string[] = []

  constructor(name: string, mesh: TestMesh, dial: Dial) {
    this.name = name
    const server = mesh.serverOf(name)
    const instance = `${name} ${mesh.startCount}`
    this.routeTable = new RouteTable(1, (bytes, at, route) =>
      this.#thread.routeListener.routeChanged(bytes, at, route),
    )
    this.directory = mesh.directoryServer?.open(name)
    const directoryClient = this.directory && this.#makeDirectoryClient(this.directory, mesh)
    this.relay = new TestRelay({
      server,
      instance,
      clock: mesh.clock,
      routes: this.routeTable,
      homeChanged: (key, isHome) => directoryClient?.homesChanged(0, [{ key, isHome }]),
      relayState: (key, state) => this.onRelayState(key, new Uint8Array(state)),
    })
    this.keyLookup = directoryClient && this.#makeKeyLookup(directoryClient)
    this.routeTable.lookup = this.keyLookup
    this.relay.settleAll = () => mesh.settle()
    const identity = {
      name,
      instance,
      publicKey: server.key,
      secret: new BoxSecret(server.privateKey),
    }
    this.siblings = new Siblings({
      identity,
      meshKey: () => mesh.meshKeys[0],
      dial,
      routeTable: this.routeTable,
      makeOutbox: () => this.#makeOutbox(),
      keysMax: 1_000,
      now: mesh.clock.now,
      random: (bytes) => sha256(`${name} random`).subarray(0, bytes),
      siblingDrains: (forMs) => this.#thread.siblingDrains(forMs),
      answered: () => undefined,
      later: mesh.clock.later,
      flushSoon: (one) => this.#thread.flushQueue.addAfterRound(one),
      onChange: ({ sibling, state }) => this.changes.push(`${sibling.name} ${state}`),
    })
  }

  join(who: Actor, options?: ConnectOptions): MemoryClient {
    return this.relay.join(who, options)
  }

  /** The states of its links by name. */
  get links(): Record<string, string> {
    return Object.fromEntries(this.siblings.reports().map(({ name, state }) => [name, state]))
  }

  get #thread(): Relay {
    return this.relay.thread(0).relay
  }

  #makeDirectoryClient(directory: FakeDirectory, mesh: TestMesh): DirectoryClient {
    const update = ({ key, location }: LocationUpdate): void =>
      this.keyLookup?.located(key, location, mesh.clock.now())
    return new DirectoryClient({ directory, send: (_thread, one) => update(one), broadcast: update })
  }

  #makeKeyLookup(directoryClient: DirectoryClient): KeyLookup {
    return new KeyLookup({
      locate: (key) => directoryClient.locate(0, key),
      sibling: (name) => this.siblings.byName(name),
      routeTable: this.routeTable,
      counters: this.relay.thread(0).counters,
    })
  }

  #makeOutbox(): SiblingOutbox {
    return this.#thread.siblingOutbox({ outboxBytesMax: OUTBOX_BYTES, outboxPacketsMax: Infinity })
  }
}

export interface MeshOptions {
  /** Relays by name that have the key of another. */
  readonly copies: Readonly<Record<string, string>>
}

export class TestMesh {
  readonly clock = new FakeClock()
  /** The mesh keys of relays that are started from now on; a relay shows the first to its siblings. */
  meshKeys: readonly Uint8Array[] = [meshKey]
  directoryServer: FakeDirectoryServer | undefined = undefined
  readonly #nodes = new Map<string, MeshNode>()
  readonly #connections = new Set<FakeConnection>()
  /** Pairs of names that can't reach each other. */
  readonly #partitioned = new Set<string>()
  #portCount = 0
  /** Relays started so far. */
  startCount = 0
  /** Relays by name that have the key of another. */
  readonly copies = new Map<string, string>()
  /** Other names of relays. */
  readonly aliases = new Map<string, string>()

  /** Relays of these names, all meshed with each other. */
  constructor(...names: (string | MeshOptions)[]) {
    const options = names.filter((one) => typeof one !== 'string')
    for (const { copies } of options) {
      for (const [name, original] of Object.entries(copies)) this.copies.set(name, original)
    }
    this.#startAll(names.filter((one) => typeof one === 'string'))
  }

  /** The same, with a key directory between regions. */
  static withDirectory(...names: string[]): TestMesh {
    const mesh = new TestMesh()
    mesh.directoryServer = new FakeDirectoryServer(mesh.clock)
    mesh.#startAll(names)
    return mesh
  }

  #startAll(names: readonly string[]): void {
    for (const name of names) this.start(name)
    for (const name of names) this.#setSiblings(name)
    this.settle()
  }

  /** Starts a relay, for the first time or again; it has no siblings until they are set. */
  start(name: string): MeshNode {
    this.startCount++
    const node = new MeshNode(name, this, (address, handler) => this.#dial(name, address, handler))
    this.#nodes.set(name, node)
    return node
  }

  /** The actor whose key the relay of that name has. */
  serverOf(name: string): Actor {
    return actor(this.copies.get(name) ?? name)
  }

  node(name: string): MeshNode {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`there is no relay ${name}`)
    return node
  }

  /** The relay dies: all its connections break, and new ones are refused. */
  kill(name: string): void {
    const node = this.node(name)
    node.isDown = true
    if (node.directory !== undefined) node.directory.isUnreachable = true
    for (const connection of this.#connections) {
      if (connection.from === name) connection.abandon()
      else if (connection.to === name) connection.breakOff('connection reset')
    }
    this.settle()
  }

  /** Starts a dead relay again, without state; it meshes with the same relays as before. */
  restart(name: string): MeshNode {
    const node = this.start(name)
    this.#setSiblings(name)
    this.settle()
    return node
  }

  /** Two relays can't reach each other; their connections break. */
  partition(a: string, b: string): void {
    this.#partitioned.add(`${a} ${b}`).add(`${b} ${a}`)
    for (const connection of this.#connections) {
      if (this.#isPartitioned(connection.from, connection.to)) connection.breakOff('connection timed out')
    }
    this.settle()
  }

  heal(a: string, b: string): void {
    this.#partitioned.delete(`${a} ${b}`)
    this.#partitioned.delete(`${b} ${a}`)
  }

  /** While stalled, bytes that `from` sends to `to` are not taken. */
  stall(from: string, to: string, isStalled: boolean): void {
    for (const connection of this.#connections) {
      if (connection.from === from && connection.to === to) connection.isStalled = isStalled
    }
  }

  /** While held back, bytes that `to` sends to `from` do not arrive. */
  holdBack(from: string, to: string, isHeldBack: boolean): void {
    for (const connection of this.#connections) {
      if (connection.from === from && connection.to === to) connection.isHeldBack = isHeldBack
    }
  }

  /** The address by which `seenFrom` knows it. */
  addressOf(name: string, seenFrom: string): Sibling {
    return addressOf(name, seenFrom, this.directoryServer !== undefined)
  }

  /** Connections that `from` has dialled to `to`. */
  connectionsBetween(from: string, to: string): number {
    return [...this.#connections].filter((one) => one.from === from && one.to === to).length
  }

  settle(): void {
    for (let isBusy = true; isBusy;) {
      isBusy = false
      for (const { relay, isDown } of this.#nodes.values()) if (!isDown) isBusy = relay.work() || isBusy
      for (const connection of this.#connections) isBusy = connection.work() || isBusy
    }
  }

  pass(ms: number): void {
    this.settle()
    for (let left = ms; left > 0; left -= SWEEP_EVERY_MS) {
      this.clock.advance(Math.min(left, SWEEP_EVERY_MS))
      for (const { relay, siblings, keyLookup, isDown } of this.#nodes.values()) {
        if (isDown) continue
        relay.sweep()
        siblings.sweep(this.clock.now())
        keyLookup?.sweep(this.clock.now())
      }
      this.settle()
    }
  }

  #setSiblings(name: string): void {
    const addresses = [...this.#nodes.keys()].map((other) => this.addressOf(other, name))
    this.node(name).siblings.setSiblings(addresses)
  }

  #isPartitioned(a: string, b: string): boolean {
    return this.#partitioned.has(`${a} ${b}`)
  }

  #dial(from: string, address: Sibling, handler: DialHandler): SiblingStream {
    const connection = new FakeConnection(from, address.name, handler, () =>
      this.#connections.delete(connection),
    )
    this.#connections.add(connection)
    const target = this.#nodes.get(this.aliases.get(address.name) ?? address.name)
    if (target === undefined || target.isDown || this.#isPartitioned(from, address.name)) {
      connection.breakOff('connection refused')
    } else {
      const port = 50_000 + this.#portCount++
      connection.attach(target.relay.accept({ port }, (bytes) => connection.receive(bytes)))
    }
    return connection
  }
}

/** A connection that one relay's siblings have dialled, with the other's link at its end. */
class FakeConnection implements SiblingStream {
  readonly from: string
  readonly to: string
  isStalled = false
  isHeldBack = false
  #undelivered: Buffer[] = []
  readonly #handler: DialHandler
  readonly #ended: () => void
  readonly #reader: FrameReader
  #link: FakeLink | undefined = undefined
  #outgoing: Buffer[] = []
  #isBurstWhole = false
  #end: string | undefined = undefined
  #isOver = false

  constructor(from: string, to: string, handler: DialHandler, ended: () => void) {
    this.from = from
    this.to = to
    this.#handler = handler
    this.#ended = ended
    const sink = {
      onHeader: () => FrameAction.accept,
      onFrame: (type: number, buffer: Buffer, start: number, end: number) => {
        this.#onFrame(type, buffer, start, end)
        return !this.#isOver
      },
    }
    this.#reader = new FrameReader(sink, new BufferPool())
  }

  attach(link: FakeLink): void {
    this.#link = link
  }

  receive(bytes: Buffer): void {
    if (!this.#isOver && this.#end === undefined) this.#undelivered.push(Buffer.from(bytes))
  }

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#isBurstWhole) throw new Error('written to while a burst is in flight')
    this.#outgoing.push(Buffer.from(bytes))
    this.#isBurstWhole = isLast
    return false
  }

  destroy(): void {
    this.#end ??= 'closed by this side'
  }

  /** The connection breaks, and the dialling relay is told. */
  breakOff(reason: string): void {
    this.#end ??= reason
  }

  /** The dialling relay is dead, so it is not told. */
  abandon(): void {
    this.#isOver = true
    this.#link?.hangUp()
    this.#ended()
  }

  /** Does what a system would have done by now. Returns false if that is nothing. */
  work(): boolean {
    if (this.#isOver) return false
    // Bytes sent before the end arrive before it.
    const isDelivered = this.isHeldBack || this.#undelivered.length === 0
    if (this.#link?.isClosed === true && isDelivered) this.#end ??= 'the server closed the connection'
    if (this.#end !== undefined) {
      this.#isOver = true
      this.#ended()
      this.#link?.hangUp()
      this.#handler.onClosed(this.#end)
      return true
    }
    const hasArrived = this.#deliver()
    if (!this.#isBurstWhole || this.isStalled) return hasArrived
    const bytes = Buffer.concat(this.#outgoing)
    this.#outgoing = []
    this.#isBurstWhole = false
    this.#link?.send(bytes)
    this.#handler.written()
    return true
  }

  #deliver(): boolean {
    if (this.isHeldBack || this.#undelivered.length === 0) return false
    const bytes = Buffer.concat(this.#undelivered)
    this.#undelivered = []
    this.#reader.feed(bytes, 0, bytes.length)
    return true
  }

  #onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type !== FrameType.serverKey) return this.#handler.onFrame(type, buffer, start, end)
    const greeting = this.#handler.greet(readServerKey(buffer.subarray(start, end)) ?? new Uint8Array(32))
    if (greeting === undefined) this.destroy()
    else this.#link?.send(greeting)
  }
}

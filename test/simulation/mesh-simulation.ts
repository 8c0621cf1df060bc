// A fleet with random faults, from a seed: clients connect, disconnect and move, several with one key; relays die or
// drain and are restarted; links break, or deliver nothing for a while, so that presence of several relays arrives in any order.
// After a time without faults every packet must arrive as a naive model says, over one link at most.

import { actor, type Actor } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import type { TestMesh } from '../support/test-mesh.ts'
import { frames } from '../vectors/frames.ts'
import type { Random } from './random.ts'

/** A client that is connected. */
interface Client {
  readonly actor: Actor
  readonly relay: string
  readonly client: MemoryClient
  isHome: boolean
}

/** A link is dialled again within 5 s and a quarter and connects; a key that was not found is not looked up for 3 s. */
const QUIET_MS = 10_000
/** Longer than a lookup in the directory and a login at a sibling together. */
const DELIVERY_MS = 500

export interface MeshSimulationOptions {
  readonly relays: readonly string[]
  readonly keyCount: number
}

export class MeshSimulation {
  readonly #mesh: TestMesh
  readonly #random: Random
  readonly #relays: readonly string[]
  readonly #actors: readonly Actor[]
  /** Relays that accept no clients: dead ones, and those that drain. */
  readonly #down = new Set<string>()
  readonly #draining = new Set<string>()
  readonly #partitioned: [string, string][] = []
  readonly #heldBack: [string, string][] = []
  #clients: Client[] = []
  #packetCount = 0
  /** Clients that drains have moved so far. */
  movedCount = 0

  constructor(mesh: TestMesh, random: Random, { relays, keyCount }: MeshSimulationOptions) {
    this.#mesh = mesh
    this.#random = random
    this.#relays = relays
    this.#actors = Array.from({ length: keyCount }, (_, i) => actor(`key ${i}`))
  }

  /** Does something at random. */
  step(): void {
    this.#followDrains()
    const actions: readonly [weight: number, action: () => void][] = [
      [30, () => this.#join()],
      [15, () => this.#leave()],
      [10, () => this.#noteHome()],
      [20, () => this.#send()],
      [3, () => this.#kill()],
      [3, () => this.#drain()],
      [6, () => this.#restart()],
      [3, () => this.#partition()],
      [5, () => this.#heal()],
      [3, () => this.#holdBack()],
      [5, () => this.#letThrough()],
      [20, () => this.#mesh.pass(this.#random.between(0, 2_000))],
    ]
    let left = this.#random.between(0, actions.reduce((sum, [weight]) => sum + weight, 0) - 1)
    for (const [weight, action] of actions) {
      if (left < weight) return action()
      left -= weight
    }
  }

  /** Ends all faults, and gives the fleet time to recover. */
  recover(): void {
    while (this.#down.size > 0) this.#restart()
    this.#followDrains()
    while (this.#partitioned.length > 0) this.#heal()
    while (this.#heldBack.length > 0) this.#letThrough()
    this.#mesh.pass(QUIET_MS)
    for (const { client } of this.#clients) client.take()
  }

  /** Sends from a client of every relay to every key. Returns the deviations from the model. */
  check(): readonly string[] {
    const faults: string[] = []
    for (const relay of this.#relays) {
      const sender = this.#clients.find((one) => one.relay === relay)
      if (sender === undefined) continue
      for (const to of this.#actors) faults.push(...this.#checkOne(sender, to))
    }
    for (const relay of this.#relays) {
      const queued = this.#mesh.node(relay).relay.count('queuedPackets')
      if (queued !== 0) faults.push(`${relay} has ${queued} packets queued`)
    }
    return faults
  }

  #checkOne(sender: Client, to: Actor): readonly string[] {
    const packet = Buffer.from(`packet ${this.#packetCount++}`)
    const before = this.#forwarded()
    sender.client.sendPacket(to, packet)
    this.#mesh.pass(DELIVERY_MS)
    const hops = this.#forwarded() - before
    const text = packet.toString('hex')
    const receivers = this.#clients.filter(({ client }) => client.take().some((line) => line.includes(text)))
    const what = `${sender.actor.name} at ${sender.relay} to ${to.name}`
    const { must, may } = this.#expected(sender.relay, to)
    if (receivers.length > 1) return [`${what}: ${receivers.length} received it`]
    const [receiver] = receivers
    if (receiver === undefined) return must ? [`${what}: lost; it is at ${may.join(', ')}`] : []
    if (receiver.actor !== to) return [`${what}: ${receiver.actor.name} received it`]
    if (!may.includes(receiver.relay))
      return [`${what}: received at ${receiver.relay}, not ${may.join(', ')}`]
    return hops === (receiver.relay === sender.relay ? 0 : 1) ? [] : [`${what}: over ${hops} links`]
  }

  /**
   * Where a packet may be delivered: here, else in this region, else wherever the key is. It must be delivered if the
   * key is in this region or at home there; a relay of another region that has the key without being its home may still
   * be taken for its home.
   */
  #expected(relay: string, to: Actor): { must: boolean; may: readonly string[] } {
    const connected = this.#clients.filter((one) => one.actor === to)
    const here = connected.filter((one) => one.relay === relay)
    const near = connected.filter((one) => regionOf(one.relay) === regionOf(relay))
    const may = here.length > 0 ? here : near.length > 0 ? near : connected
    const must = near.length > 0 || connected.some(({ isHome }) => isHome)
    return { must, may: [...new Set(may.map((one) => one.relay))] }
  }

  #forwarded(): number {
    return this.#relays.reduce((sum, name) => sum + this.#mesh.node(name).relay.count('forwardedOut'), 0)
  }

  #join(): void {
    const relay = this.#relay()
    if (this.#down.has(relay)) return
    const who = this.#actor()
    this.#clients.push({ actor: who, relay, client: this.#mesh.node(relay).join(who), isHome: false })
  }

  #leave(): void {
    const leaving = this.#someClient()
    if (leaving === undefined) return
    this.#clients = this.#clients.filter((one) => one !== leaving)
    leaving.client.hangUp()
  }

  #noteHome(): void {
    const one = this.#someClient()
    if (one === undefined) return
    one.isHome = !one.isHome
    one.client.send(one.isHome ? frames.notePreferredYes : frames.notePreferredNo).settled()
  }

  #send(): void {
    const one = this.#someClient()
    one?.client.sendPacket(this.#actor(), Buffer.from('packet')).settled()
  }

  #kill(): void {
    const relay = this.#relay()
    if (this.#down.has(relay)) return
    this.#down.add(relay)
    this.#mesh.kill(relay)
    this.#clients = this.#clients.filter((one) => one.relay !== relay)
  }

  #drain(): void {
    const relay = this.#relay()
    if (this.#down.has(relay)) return
    this.#down.add(relay)
    this.#draining.add(relay)
    const times = { settleMs: this.#random.between(0, 500), spreadMs: this.#random.between(0, 1_000) }
    this.#mesh
      .node(relay)
      .relay.thread(0)
      .relay.drain(times, () => undefined)
    this.#mesh.settle()
  }

  /** Clients that a drain has moved come back somewhere else, most of them. */
  #followDrains(): void {
    const moved = this.#clients.filter(({ client }) => client.link.isFinished || client.isClosed)
    this.#clients = this.#clients.filter((one) => !moved.includes(one))
    for (const { actor: who, client } of moved) {
      this.movedCount++
      if (!client.isClosed) client.hangUp()
      const relay = this.#relay()
      if (this.#down.has(relay)) continue
      this.#clients.push({ actor: who, relay, client: this.#mesh.node(relay).join(who), isHome: false })
    }
  }

  #restart(): void {
    const [relay] = this.#down
    if (relay === undefined) return
    this.#down.delete(relay)
    if (this.#draining.delete(relay)) {
      this.#mesh.kill(relay)
      this.#clients = this.#clients.filter((one) => one.relay !== relay)
    }
    this.#mesh.restart(relay)
  }

  #partition(): void {
    const [a, b] = this.#somePair()
    if (a === b) return
    this.#partitioned.push([a, b])
    this.#mesh.partition(a, b)
  }

  #heal(): void {
    const pair = this.#partitioned.pop()
    if (pair !== undefined) this.#mesh.heal(...pair)
  }

  #holdBack(): void {
    const pair = this.#somePair()
    this.#heldBack.push(pair)
    this.#mesh.holdBack(...pair, true)
  }

  #letThrough(): void {
    const pair = this.#heldBack.pop()
    if (pair !== undefined) this.#mesh.holdBack(...pair, false)
    this.#mesh.settle()
  }

  #someClient(): Client | undefined {
    return this.#random.pick(this.#clients)
  }

  #relay(): string {
    return this.#random.pick(this.#relays) ?? ''
  }

  #actor(): Actor {
    return this.#random.pick(this.#actors) as Actor
  }

  #somePair(): [string, string] {
    return [this.#relay(), this.#relay()]
  }
}

function regionOf(relay: string): string {
  return relay.slice(0, relay.lastIndexOf('-'))
}

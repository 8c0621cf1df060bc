// A fleet that is treated badly at random, from a seed: clients come, go and move, several with one key; relays die and
// come back; relays lose each other, or do not hear each other for a while, so that news of several relays comes in any
// order. After a quiet time every packet must arrive as a naive model says, over one link at most.

import { actor, type Actor } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import type { TestMesh } from '../support/test-mesh.ts'
import { frames } from '../vectors/frames.ts'
import type { Random } from './random.ts'

/** A client that is connected. */
interface Guest {
  readonly actor: Actor
  readonly relay: string
  readonly client: MemoryClient
  isHome: boolean
}

/** A link is tried again within 5 s and a quarter, connects, and a key that was nowhere is so for 3 s. */
const QUIET_MS = 10_000
/** Longer than an answer of a directory and the making of a link. */
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
  readonly #down = new Set<string>()
  readonly #parted: [string, string][] = []
  readonly #deaf: [string, string][] = []
  #guests: Guest[] = []
  #packetCount = 0

  constructor(mesh: TestMesh, random: Random, { relays, keyCount }: MeshSimulationOptions) {
    this.#mesh = mesh
    this.#random = random
    this.#relays = relays
    this.#actors = Array.from({ length: keyCount }, (_, i) => actor(`key ${i}`))
  }

  /** Does something, whatever it is. */
  step(): void {
    const doings: readonly [weight: number, doing: () => void][] = [
      [30, () => this.#join()],
      [15, () => this.#leave()],
      [10, () => this.#noteHome()],
      [20, () => this.#send()],
      [3, () => this.#kill()],
      [6, () => this.#restart()],
      [3, () => this.#part()],
      [5, () => this.#heal()],
      [3, () => this.#deafen()],
      [5, () => this.#undeafen()],
      [20, () => this.#mesh.pass(this.#random.between(0, 2_000))],
    ]
    let left = this.#random.between(0, doings.reduce((sum, [weight]) => sum + weight, 0) - 1)
    for (const [weight, doing] of doings) {
      if (left < weight) return doing()
      left -= weight
    }
  }

  /** Everything is mended, and given time. */
  quieten(): void {
    while (this.#down.size > 0) this.#restart()
    while (this.#parted.length > 0) this.#heal()
    while (this.#deaf.length > 0) this.#undeafen()
    this.#mesh.pass(QUIET_MS)
    for (const { client } of this.#guests) client.take()
  }

  /** Sends from a client of every relay to every key; returns what went otherwise than it should have. */
  judge(): readonly string[] {
    const faults: string[] = []
    for (const relay of this.#relays) {
      const sender = this.#guests.find((guest) => guest.relay === relay)
      if (sender === undefined) continue
      for (const to of this.#actors) faults.push(...this.#judgeOne(sender, to))
    }
    for (const relay of this.#relays) {
      const queued = this.#mesh.node(relay).relay.count('queuedPackets')
      if (queued !== 0) faults.push(`${relay} has ${queued} packets queued`)
    }
    return faults
  }

  #judgeOne(sender: Guest, to: Actor): readonly string[] {
    const packet = Buffer.from(`packet ${this.#packetCount++}`)
    const before = this.#forwarded()
    sender.client.sendPacket(to, packet)
    this.#mesh.pass(DELIVERY_MS)
    const hops = this.#forwarded() - before
    const text = packet.toString('hex')
    const receivers = this.#guests.filter(({ client }) => client.take().some((line) => line.includes(text)))
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
   * Where a packet may be delivered: here, else in this region, else wherever the key is. It must be if the key is at
   * home there; a relay of another region that has it without being its home may still be believed to be.
   */
  #expected(relay: string, to: Actor): { must: boolean; may: readonly string[] } {
    const holding = this.#guests.filter((guest) => guest.actor === to)
    const here = holding.filter((guest) => guest.relay === relay)
    const near = holding.filter((guest) => regionOf(guest.relay) === regionOf(relay))
    const may = here.length > 0 ? here : near.length > 0 ? near : holding
    const must = near.length > 0 || holding.some(({ isHome }) => isHome)
    return { must, may: [...new Set(may.map((guest) => guest.relay))] }
  }

  #forwarded(): number {
    return this.#relays.reduce((sum, name) => sum + this.#mesh.node(name).relay.count('forwardedOut'), 0)
  }

  #join(): void {
    const relay = this.#relay()
    if (this.#down.has(relay)) return
    const who = this.#actor()
    this.#guests.push({ actor: who, relay, client: this.#mesh.node(relay).join(who), isHome: false })
  }

  #leave(): void {
    const guest = this.#someGuest()
    if (guest === undefined) return
    this.#guests = this.#guests.filter((one) => one !== guest)
    guest.client.hangUp()
  }

  #noteHome(): void {
    const guest = this.#someGuest()
    if (guest === undefined) return
    guest.isHome = !guest.isHome
    guest.client.send(guest.isHome ? frames.notePreferredYes : frames.notePreferredNo).settled()
  }

  #send(): void {
    const guest = this.#someGuest()
    guest?.client.sendPacket(this.#actor(), Buffer.from('on the way')).settled()
  }

  #kill(): void {
    const relay = this.#relay()
    if (this.#down.has(relay)) return
    this.#down.add(relay)
    this.#mesh.kill(relay)
    this.#guests = this.#guests.filter((guest) => guest.relay !== relay)
  }

  #restart(): void {
    const [relay] = this.#down
    if (relay === undefined) return
    this.#down.delete(relay)
    this.#mesh.restart(relay)
  }

  #part(): void {
    const [a, b] = this.#somePair()
    if (a === b) return
    this.#parted.push([a, b])
    this.#mesh.part(a, b)
  }

  #heal(): void {
    const pair = this.#parted.pop()
    if (pair !== undefined) this.#mesh.heal(...pair)
  }

  #deafen(): void {
    const pair = this.#somePair()
    this.#deaf.push(pair)
    this.#mesh.deafen(...pair, true)
  }

  #undeafen(): void {
    const pair = this.#deaf.pop()
    if (pair !== undefined) this.#mesh.deafen(...pair, false)
    this.#mesh.settle()
  }

  #someGuest(): Guest | undefined {
    return this.#random.pick(this.#guests)
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

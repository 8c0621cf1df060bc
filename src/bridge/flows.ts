// The local side of one peer: which port of this host a packet from the peer goes to, and which flow a packet of the VPN belongs
// to. A VPN that starts anew speaks from a new port, and a server that saw the old one must see a new one, too, or it takes both
// for one session. So each port of the VPN here is a flow, and the other bridge has a port of its own for each of them.
//
// With a single flow nothing is told: whoever spoke last is the VPN. With more, the bridge names the flow before the first
// packet of it and again from time to time, in order with the packets, because the notice may be lost. Each of the two ways, over
// the relay and directly, has an order of its own.

import type { LocalPort } from './local-port.ts'
import type { BridgePeerSettings, LocalAddress } from './settings.ts'

/** What flows need of their peer. */
export interface FlowOwner {
  open(address: LocalAddress, onPacket: (packet: Buffer, port: number) => void): Promise<LocalPort>
  /** A packet for the peer. */
  toPeer(packet: Buffer): void
  /** Tells the other bridge which flow follows. `isNew`: not the one that it was told last. */
  tellFlow(flow: number, isReply: boolean, isNew: boolean): void
  /** A packet from a port that is not the VPN's, or is not yet known to be. */
  strange(): void
  now(): number
}

/** The way on which something has come. */
export type FlowWay = 'relay' | 'direct'

interface NamedFlow {
  readonly flow: number
  readonly isReply: boolean
}

/** A lost notice misleads packets for so long at most. */
const TELL_EVERY_MS = 2_000
/** Flows of the other side that may begin within a second: else it could make this host open ports without end. */
const OPENED_MAX = 4
const OPENED_WITHIN_MS = 1_000
/** A port opens within a millisecond. */
const WAITING_MAX = 16

/** A flow that the VPN of this host has begun, by a port of its own. */
interface OwnFlow {
  readonly id: number
  readonly port: number
  usedMs: number
}

/** A flow that the other VPN has begun; `port` is the one that this host's VPN sees. */
interface FarFlow {
  port: LocalPort | undefined
  /** Until the port is open. */
  waiting: Uint8Array[]
  usedMs: number
}

export class Flows {
  readonly #settings: Pick<BridgePeerSettings, 'listen' | 'vpn' | 'flowsMax'>
  readonly #owner: FlowOwner
  readonly #own = new Map<number, OwnFlow>()
  readonly #far = new Map<number, FarFlow>()
  #listener: LocalPort | undefined
  /** The VPN's port, if it has none that is known beforehand. */
  #nearPort: number | undefined
  /** What packets from the peer belong to: a far flow, or an own one that it answers. */
  readonly #incoming = new Map<FlowWay, NamedFlow>()
  #told: { readonly flow: number; readonly isReply: boolean; readonly atMs: number } | undefined
  #nextId: number
  /** When the last of the far flows were begun. */
  #openedMs: readonly number[] = []
  #isClosed = false

  /** @param firstId differs from one start to the next, so that flows of before are not taken for these */
  constructor(
    settings: Pick<BridgePeerSettings, 'listen' | 'vpn' | 'flowsMax'>,
    owner: FlowOwner,
    firstId: number,
  ) {
    this.#settings = settings
    this.#owner = owner
    this.#nearPort = settings.vpn?.port
    this.#nextId = firstId
  }

  /** @throws Error if the port cannot be had */
  async start(): Promise<void> {
    this.#listener = await this.#owner.open(this.#settings.listen, (packet, port) =>
      this.#fromVpn(packet, port),
    )
  }

  /** Where the VPN sends to. */
  get port(): number {
    return this.#listener?.port ?? 0
  }

  /** Flows that are known, of both sides. */
  get count(): number {
    return this.#own.size + this.#far.size
  }

  /** The only port that packets may come from; undefined: any. */
  set vpnPort(port: number | undefined) {
    this.#strictPort = port
    if (port !== undefined) this.#nearPort = port
  }
  #strictPort: number | undefined

  /** A packet of the peer: to this host's VPN. Returns false if the VPN has not spoken yet and nobody knows where it is. */
  deliver(packet: Uint8Array, way: FlowWay = 'relay'): boolean {
    const named = this.#incoming.get(way) ?? this.#incoming.get('relay')
    const { flow, isReply } = named ?? { flow: 0, isReply: true }
    if (!isReply && this.#settings.vpn !== undefined) return this.#deliverFar(this.#far.get(flow), packet)
    const port = this.#own.get(flow)?.port ?? this.#nearPort
    if (port === undefined || port === 0) return false
    this.#listener?.send(packet, port)
    return true
  }

  /** The other bridge names the flow of what follows. */
  name(flow: number, isReply: boolean, way: FlowWay = 'relay'): void {
    if (this.#settings.flowsMax <= 1) return
    this.#incoming.set(way, { flow, isReply })
    if (!isReply && this.#settings.vpn !== undefined) this.#openFar(flow)
  }

  /** The other bridge has started anew: it knows no flows. */
  forget(): void {
    this.#incoming.clear()
    this.tellAgain()
  }

  /** The other bridge may not know what it was told. */
  tellAgain(): void {
    this.#told = undefined
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#listener?.close()
    for (const { port } of this.#far.values()) port?.close()
  }

  #deliverFar(flow: FarFlow | undefined, packet: Uint8Array): boolean {
    if (flow === undefined) return false
    flow.usedMs = this.#owner.now()
    if (flow.port !== undefined) flow.port.send(packet, this.#settings.vpn?.port ?? 0)
    else if (flow.waiting.length < WAITING_MAX) flow.waiting.push(packet)
    else return false
    return true
  }

  #fromVpn(packet: Buffer, port: number): void {
    if (this.#strictPort !== undefined && port !== this.#strictPort) return this.#owner.strange()
    const { flowsMax, vpn } = this.#settings
    if (flowsMax > 1 && port !== vpn?.port) {
      const flow = this.#ownFlow(port)
      flow.usedMs = this.#owner.now()
      this.#tell(flow.id, false)
    }
    this.#nearPort = port
    this.#owner.toPeer(packet)
  }

  #ownFlow(port: number): OwnFlow {
    const known = [...this.#own.values()].find((flow) => flow.port === port)
    if (known !== undefined) return known
    if (this.#own.size >= this.#settings.flowsMax) this.#own.delete(oldestOf(this.#own))
    const flow = { id: this.#nextId++, port, usedMs: this.#owner.now() }
    this.#own.set(flow.id, flow)
    return flow
  }

  #openFar(id: number): void {
    const nowMs = this.#owner.now()
    const recent = this.#openedMs.filter((atMs) => nowMs - atMs < OPENED_WITHIN_MS)
    if (this.#far.has(id) || recent.length >= OPENED_MAX) return
    this.#openedMs = [...recent, nowMs]
    if (this.#far.size >= this.#settings.flowsMax) {
      const oldest = oldestOf(this.#far)
      this.#far.get(oldest)?.port?.close()
      this.#far.delete(oldest)
    }
    const flow: FarFlow = { port: undefined, waiting: [], usedMs: nowMs }
    this.#far.set(id, flow)
    const opened = this.#owner.open({ host: this.#settings.listen.host, port: 0 }, (packet, port) => {
      if (port !== this.#settings.vpn?.port) return
      flow.usedMs = this.#owner.now()
      this.#tell(id, true)
      this.#owner.toPeer(packet)
    })
    opened.then(
      (port) => {
        if (this.#isClosed || this.#far.get(id) !== flow) return port.close()
        flow.port = port
        for (const packet of flow.waiting) port.send(packet, this.#settings.vpn?.port ?? 0)
        flow.waiting = []
      },
      () => void this.#far.delete(id),
    )
  }

  #tell(flow: number, isReply: boolean): void {
    const nowMs = this.#owner.now()
    const { flow: told, isReply: wasReply, atMs = 0 } = this.#told ?? {}
    const isNew = told !== flow || wasReply !== isReply
    if (!isNew && nowMs - atMs < TELL_EVERY_MS) return
    this.#told = { flow, isReply, atMs: nowMs }
    this.#owner.tellFlow(flow, isReply, isNew)
  }
}

function oldestOf(flows: ReadonlyMap<number, { readonly usedMs: number }>): number {
  let oldest = -1
  let usedMs = Number.POSITIVE_INFINITY
  for (const [id, flow] of flows) {
    if (flow.usedMs < usedMs) [oldest, usedMs] = [id, flow.usedMs]
  }
  return oldest
}

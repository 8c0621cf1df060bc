// The direct way to one peer, as far as it is not decided by direct-path.ts: its messages, offers of addresses, packets that are held
// back, and who may send from where.
//
// Nothing of an unknown key is read. A packet of the VPN is taken from an address only after a message of the peer has
// come from there, and messages are limited before they are opened.

import { randomBytes } from 'node:crypto'
import { hostPortText } from '#protocol/host-port.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { readCandidate, type IsInside } from './candidates.ts'
import { looksLikeControl, type ControlChannel, type ControlMessage } from './control-frame.ts'
import { DirectPath, PROBE_BYTES_MAX } from './direct-path.ts'
import type { LocalAddress } from './settings.ts'

/** What all peers share: the port. */
export interface DirectHost {
  readonly isInside: IsInside
  /** The port is WireGuard's: the bridge's packets do not take it, WireGuard's do by themselves. */
  readonly isWireguards: boolean
  /** WireGuard's largest packet, if the port is WireGuard's. */
  readonly neededBytes: number
  send(packet: Uint8Array, to: LocalAddress): void
  /** Whether one more ping may be sent now. */
  mayPing(nowMs: number): boolean
  /** Where this host may be reached. */
  ownCandidates(): Promise<readonly string[]>
}

/** The peer whose packets go that way. */
export interface DirectOwner {
  /** Tells the other bridge over the relay. */
  tell(message: ControlMessage): void
  /** A packet of the other VPN. */
  deliver(packet: Uint8Array): void
  /** The other bridge names the flow of what follows on this way. */
  nameFlow(flow: number, isReply: boolean): void
  /** A packet that was held back, and is needed at the relay. */
  toRelay(packet: Uint8Array): void
  drop(): void
  /** The direct way is there, or is no longer. */
  changed(text: string): void
}

export interface DirectCounters {
  bytesIn: number
  bytesOut: number
}

/** Of addresses that the peer has proven: pings and pongs of both sides, sizes among them. */
const KNOWN = [50, 100] as const
const STRANGE = [10, 20] as const
const SOURCES_MAX = 8
const HELD_BYTES_MAX = 1_048_576
const OFFER_EVERY_MS = { first: 30_000, max: 300_000, growth: 2 }
const OFFER_AFTER_LOSS_MS = 2_000
/** A notice of a flow may be lost or overtaken here: packets of a new flow take the relay meanwhile. */
const FLOW_MS = 300
const FLOW_NOTICES = 3

export class DirectSide {
  readonly counters: DirectCounters = { bytesIn: 0, bytesOut: 0 }
  readonly #channel: ControlChannel
  readonly #host: DirectHost
  readonly #owner: DirectOwner
  readonly #path: DirectPath
  /** Addresses from which a message of the peer has come, the oldest first. */
  readonly #sources = new Set<string>()
  readonly #addresses = new Map<string, LocalAddress>()
  readonly #known = new TokenBucket(...KNOWN, performance.now())
  readonly #strange = new TokenBucket(...STRANGE, performance.now())
  #held: Uint8Array[] = []
  #heldBytes = 0
  #heardMs: number | undefined
  #hasFar = false
  #offerAtMs = Number.POSITIVE_INFINITY
  #offerEveryMs = OFFER_EVERY_MS.first
  #flow: { readonly message: ControlMessage; readonly atMs: number; left: number } | undefined

  /** @param channel one for messages over UDP alone */
  constructor(channel: ControlChannel, host: DirectHost, owner: DirectOwner) {
    this.#channel = channel
    this.#host = host
    this.#owner = owner
    this.#path = new DirectPath({
      ping: (to, id, bytes) => {
        if (host.mayPing(performance.now())) this.#sendMessage({ kind: 'ping', id }, to, bytes)
      },
      askFar: () => owner.tell({ kind: 'ask-direct' }),
      newId: () => randomBytes(6).readUIntBE(0, 6),
      get neededBytes() {
        return host.neededBytes
      },
      changed: (text) => owner.changed(text),
    })
  }

  get path(): DirectPath['path'] {
    return this.#path.path
  }

  /** Where WireGuard may send to by itself, from its own port. */
  get hole(): string | undefined {
    const { path } = this.#path
    const isUsable = this.#host.isWireguards && path !== undefined && path.bytesMax >= this.#host.neededBytes
    return isUsable ? path.to : undefined
  }

  /** WireGuard has sent something by itself. */
  used(): void {
    this.#path.used(performance.now())
  }

  /** The relay is there: the other bridge can be told where this one is. */
  connected(): void {
    this.#offerAtMs = performance.now()
    this.#offerEveryMs = OFFER_EVERY_MS.first
  }

  /** A packet of the VPN. Returns whether it needs no relay. */
  take(packet: Uint8Array): boolean {
    const nowMs = performance.now()
    const way = this.#path.wayOf(packet.length, nowMs)
    if (way === 'relay') return false
    if (way === 'hold') {
      this.#hold(packet)
      return true
    }
    if (this.#host.isWireguards) return false
    if (this.#flow !== undefined && nowMs - this.#flow.atMs < FLOW_MS) return false
    this.#send(packet)
    return way === 'direct'
  }

  /** The flow of what follows. */
  tellFlow(flow: number, isReply: boolean, isNew: boolean): void {
    const message: ControlMessage = { kind: 'flow', flow, isReply }
    if (isNew) this.#flow = { message, atMs: performance.now(), left: FLOW_NOTICES - 1 }
    const { path } = this.#path
    if (path !== undefined) this.#sendMessage(message, path.to)
  }

  /** What the other bridge tells over the relay. */
  hear(message: ControlMessage): void {
    const nowMs = performance.now()
    if (message.kind === 'direct') this.#path.hearFar(message.silentMs)
    else if (message.kind === 'ask-direct') {
      const silentMs = this.#heardMs === undefined ? undefined : Math.round(nowMs - this.#heardMs)
      this.#owner.tell({ kind: 'direct', silentMs })
    } else if (message.kind === 'offer') {
      this.#hasFar = true
      this.#path.offer(this.#usable(message.candidates), nowMs)
      if (!message.isReply) void this.#offer(true)
    }
  }

  /** A datagram that came directly, from an address of this peer or with its key. */
  receive(packet: Buffer, from: LocalAddress): void {
    const text = hostPortText(from.host, from.port)
    const isKnown = this.#sources.has(text)
    if (this.#channel.isClaimed(packet)) {
      if (!(isKnown ? this.#known : this.#strange).tryTake(1, performance.now())) return
      const opened = this.#channel.open(packet, Date.now())
      if (opened !== undefined) {
        if ('message' in opened) this.#hearDirect(opened.message, text, from)
        return
      }
    }
    if (!isKnown) return
    this.#heardMs = performance.now()
    this.counters.bytesIn += packet.length
    this.#owner.deliver(packet)
  }

  isSource(address: string): boolean {
    return this.#sources.has(address)
  }

  tick(nowMs: number): void {
    const hadPath = this.#path.path !== undefined
    this.#path.tick(nowMs)
    if (hadPath && this.#path.path === undefined) this.#offerAtMs = nowMs + OFFER_AFTER_LOSS_MS
    this.#release()
    if (this.#flow !== undefined && this.#flow.left > 0) {
      this.#flow.left--
      const { path } = this.#path
      if (path !== undefined) this.#sendMessage(this.#flow.message, path.to)
    }
    if (nowMs < this.#offerAtMs) return
    this.#offerAtMs = this.#hasFar ? nowMs + this.#offerEveryMs : Number.POSITIVE_INFINITY
    this.#offerEveryMs = Math.min(this.#offerEveryMs * OFFER_EVERY_MS.growth, OFFER_EVERY_MS.max)
    if (this.#path.path === undefined) void this.#offer(false)
  }

  stop(): void {
    this.#path.drop('the bridge stops')
  }

  async #offer(isReply: boolean): Promise<void> {
    const candidates = await this.#host.ownCandidates()
    this.#owner.tell({ kind: 'offer', candidates, isReply })
  }

  /** Replaces the addresses of the last offer. */
  #usable(candidates: readonly string[]): readonly string[] {
    const usable: string[] = []
    for (const text of this.#addresses.keys()) if (!this.#sources.has(text)) this.#addresses.delete(text)
    for (const text of candidates) {
      const address = readCandidate(text, this.#host.isInside)
      if (address === undefined) continue
      const name = hostPortText(address.host, address.port)
      this.#addresses.set(name, address)
      usable.push(name)
    }
    return usable
  }

  #hearDirect(message: ControlMessage, text: string, from: LocalAddress): void {
    // What comes out of the tunnel, and what only this host could send.
    if (readCandidate(text, this.#host.isInside) === undefined) return
    const nowMs = performance.now()
    this.#heardMs = nowMs
    this.#addSource(text, from)
    if (message.kind === 'ping') {
      this.#sendMessage({ kind: 'pong', id: message.id }, text)
      this.#path.heard(text, nowMs)
    } else if (message.kind === 'pong') {
      this.#path.pong(message.id, text, nowMs)
      this.#release()
    } else if (message.kind === 'flow') this.#owner.nameFlow(message.flow, message.isReply)
  }

  #addSource(text: string, from: LocalAddress): void {
    this.#addresses.set(text, from)
    this.#sources.delete(text)
    this.#sources.add(text)
    if (this.#sources.size <= SOURCES_MAX) return
    const [oldest = ''] = this.#sources
    this.#sources.delete(oldest)
    this.#addresses.delete(oldest)
  }

  #send(packet: Uint8Array): void {
    const to = this.#addresses.get(this.#path.path?.to ?? '')
    if (to === undefined) return
    this.counters.bytesOut += packet.length
    this.#host.send(packet, to)
  }

  #sendMessage(message: ControlMessage, to: string, bytes = 0): void {
    const address = this.#addresses.get(to)
    if (address === undefined) return
    this.#host.send(this.#channel.seal(message, Date.now(), randomBytes(NONCE_BYTES), bytes), address)
  }

  #hold(packet: Uint8Array): void {
    if (this.#heldBytes + packet.length > HELD_BYTES_MAX) return this.#owner.drop()
    this.#held.push(packet)
    this.#heldBytes += packet.length
  }

  #release(): void {
    if (this.#held.length === 0 || this.#path.isHolding) return
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const packet of held) if (!this.take(packet)) this.#owner.toRelay(packet)
  }
}

/** Whether a datagram may be a message of a bridge over UDP. */
export function mayBeMessage(packet: Uint8Array): boolean {
  return looksLikeControl(packet, PROBE_BYTES_MAX)
}

// The direct ways of all peers of a bridge: their one port, whose datagrams it hands to the peer that they are of, and where this
// host may be reached.

import { keyName } from '#protocol/node-key.ts'
import { hostPortText } from '#protocol/host-port.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { ownCandidates, type IsInside } from './candidates.ts'
import { CANDIDATES_MAX, claimedSender } from './control-frame.ts'
import type { OnDatagram, UdpPort } from './direct-port.ts'
import { mayBeMessage, type DirectHost, type DirectSide } from './direct-side.ts'
import type { LocalAddress } from './settings.ts'

export interface DirectWaysParts {
  readonly isInside: IsInside
  /** WireGuard's largest packet. */
  readonly wireguardBytesMax: number
  /** @param onPacket gets what comes */
  openPort(onPacket: OnDatagram): Promise<UdpPort>
  /** Servers that tell this host's address. */
  stunServers(): Promise<readonly LocalAddress[]>
}

const TICK_MS = 100
/** Of all peers together, sizes among them. */
const PINGS = [200, 400] as const
const OWNERS_MAX = 1_024
/** A NAT does not change its mind within seconds, and many peers may ask at once. */
const CANDIDATES_KEPT_MS = 3_000

export class DirectWays implements DirectHost {
  readonly #parts: DirectWaysParts
  readonly #sides = new Map<string, DirectSide>()
  readonly #pings = new TokenBucket(...PINGS, performance.now())
  /** Whose packets have come from an address, so that not all peers are asked for each. */
  readonly #lastOwners = new Map<string, DirectSide>()
  #port: UdpPort | undefined
  #timer: NodeJS.Timeout | undefined
  #candidates: { readonly list: Promise<readonly string[]>; readonly atMs: number } | undefined
  /** Datagrams of nobody that is known; nothing of them was read. */
  droppedUnknown = 0

  constructor(parts: DirectWaysParts) {
    this.#parts = parts
  }

  add(key: Uint8Array, side: DirectSide): void {
    this.#sides.set(keyName(key), side)
  }

  /** Opens the port if a peer may need it. @throws Error if it cannot be had */
  async start(): Promise<void> {
    if (this.#sides.size === 0) return
    await this.#open()
    this.#timer = setInterval(() => {
      const nowMs = performance.now()
      for (const side of this.#sides.values()) side.tick(nowMs)
    }, TICK_MS)
  }

  /** WireGuard's port may be set anew: holes of the old one are gone. */
  async follow(listenPort: number): Promise<void> {
    if (this.#port?.isWireguards !== true || this.#port.port === listenPort) return
    this.#port.close()
    this.#candidates = undefined
    await this.#open()
    for (const side of this.#sides.values()) side.connected()
  }

  async #open(): Promise<void> {
    this.#port = await this.#parts.openPort((packet, from) => this.#receive(packet, from))
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const side of this.#sides.values()) side.stop()
    this.#port?.close()
    this.#port = undefined
  }

  get isWireguards(): boolean {
    return this.#port?.isWireguards ?? false
  }

  get neededBytes(): number {
    return this.isWireguards ? this.#parts.wireguardBytesMax : 0
  }

  get isInside(): IsInside {
    return this.#parts.isInside
  }

  send(packet: Uint8Array, to: LocalAddress): void {
    this.#port?.send(packet, to)
  }

  mayPing(nowMs: number): boolean {
    return this.#pings.tryTake(1, nowMs)
  }

  async ownCandidates(): Promise<readonly string[]> {
    const nowMs = performance.now()
    if (this.#candidates === undefined || nowMs - this.#candidates.atMs > CANDIDATES_KEPT_MS) {
      this.#candidates = { list: this.#gather(), atMs: nowMs }
    }
    return await this.#candidates.list
  }

  async #gather(): Promise<readonly string[]> {
    const port = this.#port
    if (port === undefined) return []
    const outside = await port.publicAddresses(await this.#parts.stunServers().catch(() => []))
    const own = ownCandidates(port.port, this.#parts.isInside)
    return [...new Set([...outside, ...own])].slice(0, CANDIDATES_MAX)
  }

  #receive(packet: Buffer, from: LocalAddress): void {
    const side = this.#ownerOf(packet, from)
    if (side === undefined) this.droppedUnknown++
    else side.receive(packet, from)
  }

  #ownerOf(packet: Buffer, { host, port }: LocalAddress): DirectSide | undefined {
    const claimed = mayBeMessage(packet) ? this.#sides.get(keyName(claimedSender(packet))) : undefined
    if (claimed !== undefined) return claimed
    const address = hostPortText(host, port)
    const last = this.#lastOwners.get(address)
    if (last?.isSource(address) === true) return last
    for (const side of this.#sides.values()) {
      if (!side.isSource(address)) continue
      if (this.#lastOwners.size >= OWNERS_MAX) this.#lastOwners.clear()
      this.#lastOwners.set(address, side)
      return side
    }
    return undefined
  }
}

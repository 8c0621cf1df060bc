// A bridge: carries the packets of a VPN on this host over a relay to the bridge of another host, and steers WireGuard to its own
// way where that lives. Puts the parts together: the relay's client, a peer for each key, and looks at WireGuard.

import { networkInterfaces } from 'node:os'
import { BoxSecret } from '#protocol/box.ts'
import type { DatagramCallsOf } from '#protocol/datagram-calls.ts'
import { keyName } from '#protocol/node-key.ts'
import type { ReceivedPacket } from '#client/client-events.ts'
import { BridgePeer, type PeerHost } from './bridge-peer.ts'
import type { IsInside } from './candidates.ts'
import { DirectPort, type OnDatagram, type UdpPort } from './direct-port.ts'
import { DirectWays } from './direct-ways.ts'
import { LocalPort } from './local-port.ts'
import { NativeAddress } from './native-address.ts'
import { Outbox, type RelayLink } from './outbox.ts'
import type { BridgeSettings, LocalAddress } from './settings.ts'
import type { WgControl, WgState } from './wg-control.ts'
import { packetBytesMax, WireguardPort, type RawCalls } from './wireguard-port.ts'

/** The way to the relay: one connection, or one to the home of a map. */
export interface RelayWay {
  /** The connection of now. */
  readonly link: RelayLink | undefined
  /** Of its socket. */
  readonly descriptor: number | undefined
  /** Where the relay answers STUN; none behind a proxy. */
  stunServers(): Promise<readonly LocalAddress[]>
  on(name: 'packet', listener: (packet: ReceivedPacket) => void): unknown
  on(name: 'connected', listener: () => void): unknown
  on(
    name: 'disconnected',
    listener: (loss: { readonly reason: { readonly message: string } }) => void,
  ): unknown
  start(): void
  destroy(): void
}

export interface BridgeParts {
  readonly relay: RelayWay
  /** Undefined for VPNs other than WireGuard, and where `wg` is not to be used. */
  readonly wg: WgControl | undefined
  /** Whether the tunnel may carry packets to an address. */
  readonly isInside: IsInside
  /** Calls by which WireGuard's own port is shared; undefined, or rejects: they are not to be had. */
  readonly rawCalls?: () => Promise<RawCalls>
  /** Many packets in one call. */
  readonly datagramCalls?: DatagramCallsOf | undefined
  readonly log: (message: string) => void
}

const LOOK_EVERY_MS = 1_000
const DOUBTFUL_LOOK_MS = 500
const SOON_MS = 100

export class Bridge {
  readonly settings: BridgeSettings
  readonly peers: readonly BridgePeer[]
  readonly startedAt = new Date()
  readonly #parts: BridgeParts
  readonly #byKey: ReadonlyMap<string, BridgePeer>
  readonly #direct: DirectWays | undefined
  #isConnected = false
  #connects = 0
  #droppedUnknown = 0
  #next: NodeJS.Timeout | undefined
  #isLooking = false
  #isStopped = false
  #lookFailure: string | undefined
  #addresses = ''

  constructor(settings: BridgeSettings, parts: BridgeParts) {
    this.settings = settings
    this.#parts = parts
    const { relay, isInside } = parts
    const stunServers = async (): Promise<readonly LocalAddress[]> => await relay.stunServers()
    const wireguardBytesMax = packetBytesMax(settings.interfaceName)
    const openPort = async (onPacket: OnDatagram): Promise<UdpPort> => await this.#openPort(onPacket)
    this.#direct = settings.isDirectTried
      ? new DirectWays({ isInside, wireguardBytesMax, openPort, stunServers })
      : undefined
    const host: PeerHost = {
      mode: settings.mode,
      ownKey: settings.key.publicKey,
      secret: new BoxSecret(settings.key.privateKey),
      outbox: new Outbox(() => parts.relay.link),
      queueBytesMax: settings.queueBytesMax,
      wg: parts.wg,
      native: new NativeAddress(),
      openLocal: async (address, onPacket, isWireguard) =>
        await LocalPort.open(address, onPacket, { calls: parts.datagramCalls, isWireguard }),
      direct: this.#direct,
      log: (peer, message) => parts.log(`${peer}: ${message}`),
      lookSoon: () => this.#lookIn(SOON_MS),
    }
    this.peers = settings.peers.map((peer) => new BridgePeer(peer, host))
    this.#byKey = new Map(this.peers.map((peer) => [keyName(peer.settings.key), peer]))
  }

  /** Opens the local ports, then connects. @throws Error if a port cannot be had */
  async start(): Promise<void> {
    for (const peer of this.peers) await peer.start()
    const { relay, log, wg } = this.#parts
    await this.#direct?.start()
    relay.on('packet', ({ source, packet }) => this.#receive(source, packet))
    relay.on('connected', () => {
      this.#isConnected = true
      this.#connects++
      log('connected to the relay')
      for (const peer of this.peers) peer.connected()
    })
    relay.on('disconnected', ({ reason }) => {
      if (this.#isConnected || this.#connects === 0) log(`not connected to the relay: ${reason.message}`)
      this.#isConnected = false
    })
    relay.start()
    if (wg !== undefined) this.#lookIn(0)
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  /** How often the relay was connected to. */
  get connects(): number {
    return this.#connects
  }

  /** Packets of keys that are no peers'; nothing of them was read. */
  get droppedUnknown(): number {
    return this.#droppedUnknown + (this.#direct?.droppedUnknown ?? 0)
  }

  /** Why WireGuard cannot be asked; undefined if it can. */
  get lookFailure(): string | undefined {
    return this.#lookFailure
  }

  /** Gives WireGuard its own endpoints back, and closes everything. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#next)
    await Promise.all(this.peers.map(async (peer) => await peer.stop()))
    this.#direct?.stop()
    this.#parts.relay.destroy()
  }

  async #openPort(onPacket: OnDatagram): Promise<UdpPort> {
    const { wg, rawCalls, datagramCalls, log } = this.#parts
    if (wg === undefined || rawCalls === undefined) return await DirectPort.open(onPacket, datagramCalls)
    try {
      const { listenPort } = await wg.read()
      return await WireguardPort.open(listenPort, await rawCalls(), onPacket)
    } catch (error) {
      log(
        `direct packets will pass through the bridge: ${error instanceof Error ? error.message : String(error)}`,
      )
      return await DirectPort.open(onPacket, datagramCalls)
    }
  }

  #receive(source: Uint8Array, packet: Buffer): void {
    const peer = this.#byKey.get(keyName(source))
    if (peer === undefined) this.#droppedUnknown++
    else peer.receive(packet)
  }

  #lookIn(delayMs: number): void {
    if (this.#isLooking || this.#isStopped || this.#parts.wg === undefined) return
    clearTimeout(this.#next)
    this.#next = setTimeout(() => void this.#look(), delayMs)
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    this.#watchNetwork()
    const state = await this.#readWg()
    if (state !== undefined && !this.#isStopped) {
      await this.#direct?.follow(state.listenPort)
      await Promise.all(this.peers.map(async (peer) => await peer.look(state)))
    }
    this.#isLooking = false
    this.#lookIn(this.peers.some(({ isDoubtful }) => isDoubtful) ? DOUBTFUL_LOOK_MS : LOOK_EVERY_MS)
  }

  async #readWg(): Promise<WgState | undefined> {
    try {
      const state = await this.#parts.wg?.read()
      if (this.#lookFailure !== undefined) this.#parts.log('WireGuard answers again')
      this.#lookFailure = undefined
      return state
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error)
      if (failure !== this.#lookFailure) this.#parts.log(`WireGuard does not answer: ${failure}`)
      this.#lookFailure = failure
      return undefined
    }
  }

  /** A change of address is found within a second, and long before TCP gives up. */
  #watchNetwork(): void {
    const addresses = Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .map(({ address }) => address)
      .sort()
      .join(' ')
    const hasChanged = this.#addresses !== '' && addresses !== this.#addresses
    this.#addresses = addresses
    if (hasChanged) for (const peer of this.peers) peer.networkChanged()
  }
}

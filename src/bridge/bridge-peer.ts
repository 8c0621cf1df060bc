// One peer of a bridge: its flows, its queue to the relay, its direct way, what the bridges tell each other, and for WireGuard the
// steering.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostPortText } from '#protocol/host-port.ts'
import type { BoxKey, BoxSecret } from '#protocol/box.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import { keyName } from '#protocol/node-key.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { ControlChannel, type ControlMessage, type SeenState } from './control-frame.ts'
import { PROBE_BYTES_MAX } from './direct-path.ts'
import { DirectSide } from './direct-side.ts'
import type { DirectWays } from './direct-ways.ts'
import { Flows } from './flows.ts'
import type { LocalPort, OnPacket } from './local-port.ts'
import type { NativeAddress } from './native-address.ts'
import { PeerQueue, type Outbox } from './outbox.ts'
import type { BridgeMode, BridgePeerSettings, LocalAddress } from './settings.ts'
import { Steering, type SteeringAction, type Way } from './steering.ts'
import type { WgControl, WgPeerState, WgState } from './wg-control.ts'
import { WireguardHole } from './wireguard-hole.ts'

/** What a peer needs of its bridge. */
export interface PeerHost {
  readonly mode: BridgeMode
  readonly ownKey: Uint8Array
  readonly secret: BoxSecret
  readonly outbox: Outbox
  readonly queueBytesMax: number
  /** Undefined for VPNs other than WireGuard. */
  readonly wg: WgControl | undefined
  readonly native: NativeAddress
  /** Undefined: packets without an own way take the relay always. */
  readonly direct: DirectWays | undefined
  openLocal(address: LocalAddress, onPacket: OnPacket, isWireguard: boolean): Promise<LocalPort>
  log(peer: string, message: string): void
  /** A look at WireGuard is wanted soon. */
  lookSoon(): void
}

export interface PeerCounters {
  packetsIn: number
  packetsOut: number
  bytesIn: number
  bytesOut: number
  /** For the VPN, whose port is not known yet. */
  droppedIn: number
}

/** Messages of the other bridge over the relay that are read: ten a second, and a few at once. */
const CONTROL = [10, 20] as const
/** While the native way is tried, all packets take it: no longer than the other bridge needs to answer. */
const ANSWER_MS_MAX = 1_000
const TRY_WAIT_MS = 100
/** How often a passive side tells of silence by itself. */
const TELL_EVERY_MS = 900

export class BridgePeer {
  readonly settings: BridgePeerSettings
  readonly counters: PeerCounters = { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0, droppedIn: 0 }
  readonly queue: PeerQueue
  readonly steering: Steering | undefined
  readonly #host: PeerHost
  readonly #flows: Flows
  readonly #channel: ControlChannel | undefined
  readonly #control = new TokenBucket(...CONTROL, performance.now())
  readonly direct: DirectSide | undefined
  #heardMs: number | undefined
  #warnedClock = false
  #seen: SeenState | undefined
  #seenState: WgPeerState | undefined
  #sentUnheardMs: number | undefined
  #toldMs = 0
  #isActing = false
  #isStopped = false
  #hole: WireguardHole | undefined
  /** While the native way is tried: takes what the other bridge says of it. */
  #onAnswer: ((far: SeenState | undefined) => void) | undefined

  constructor(settings: BridgePeerSettings, host: PeerHost) {
    this.settings = settings
    this.#host = host
    this.queue = new PeerQueue(host.queueBytesMax)
    const isSteered = host.mode === 'auto' && settings.wg?.endpoint !== undefined
    this.steering = isSteered ? new Steering('native', performance.now()) : undefined
    const box = host.secret.agree(settings.key)
    this.#channel = box === undefined ? undefined : new ControlChannel(host.ownKey, settings.key, box)
    this.direct = box === undefined ? undefined : this.#newDirect(box)
    this.#flows = new Flows(
      settings,
      {
        open: async (address, onPacket) => await host.openLocal(address, onPacket, settings.wg !== undefined),
        toPeer: (packet) => this.#send(packet),
        // WireGuard's port may have changed.
        strange: () => host.lookSoon(),
        tellFlow: (flow, isReply, isNew) => {
          this.#tell({ kind: 'flow', flow, isReply })
          this.direct?.tellFlow(flow, isReply, isNew)
        },
        now: () => performance.now(),
      },
      randomBytes(4).readUInt32BE(),
    )
  }

  async start(): Promise<void> {
    await this.#flows.start()
  }

  get port(): number {
    return this.#flows.port
  }

  get flowCount(): number {
    return this.#flows.count
  }

  /** When the other bridge has last told something, by performance.now(). */
  get heardMs(): number | undefined {
    return this.#heardMs
  }

  /** Which way the packets take now. */
  get way(): Way | 'direct' | 'none' {
    const way = this.settings.wg === undefined ? 'relay' : (this.steering?.way ?? this.#seen?.way ?? 'none')
    return way === 'relay' && this.direct?.path !== undefined ? 'direct' : way
  }

  /** A packet from the relay. */
  receive(packet: Buffer): void {
    if (this.#isStopped) return
    if (this.#channel?.isClaimed(packet) === true && this.#readControl(packet)) return
    this.counters.packetsIn++
    this.counters.bytesIn += packet.length
    if (!this.#flows.deliver(packet)) this.counters.droppedIn++
  }

  /** Only for those that have no way of their own; the other bridge does not answer where its side has one. */
  #newDirect(box: BoxKey): DirectSide | undefined {
    const { settings } = this
    const { direct, ownKey } = this.#host
    if (direct === undefined || settings.wg?.endpoint !== undefined) return undefined
    const options = { isUnordered: true, bytesMax: PROBE_BYTES_MAX }
    const side = new DirectSide(new ControlChannel(ownKey, settings.key, box, options), direct, {
      tell: (message) => this.#tell(message),
      deliver: (packet) => {
        if (!this.#flows.deliver(packet, 'direct')) this.counters.droppedIn++
      },
      nameFlow: (flow, isReply) => this.#flows.name(flow, isReply, 'direct'),
      toRelay: (packet) => this.#toRelay(packet),
      drop: () => void this.queue.dropped++,
      changed: (text) => {
        const way = direct.isWireguards
          ? ''
          : this.direct?.path === undefined
            ? 'packets take the relay: '
            : 'packets go directly: '
        this.#host.log(settings.name, `${way}${text}`)
        this.#host.lookSoon()
      },
    })
    direct.add(settings.key, side)
    return side
  }

  /** The relay is there (again): the other bridge must not believe in flows that this one has forgotten. */
  connected(): void {
    this.#flows.tellAgain()
    this.#tell({ kind: 'hello' })
    this.direct?.connected()
  }

  /** A look at WireGuard. */
  async look(state: WgState): Promise<void> {
    const { wg } = this.settings
    if (wg === undefined) return
    const peer = state.peers.get(keyName(wg.publicKey))
    if (peer === undefined) return
    this.#flows.vpnPort = state.listenPort
    const way = this.#wayOf(peer.endpoint)
    this.#note(peer, way)
    if (this.#host.direct?.isWireguards === true) await this.#wireguardHole()?.look(peer)
    if (wg.endpoint === undefined || this.#isActing) return this.#tellSilence()
    // A loopback port that is not this bridge's is that of one which was killed.
    const isStale = way === 'native' && /^(127\.|\[::1\])/.test(peer.endpoint ?? '')
    if (isStale || (this.#host.mode === 'relay' && way !== 'relay')) return await this.#act('to-relay', peer)
    if (this.#host.mode === 'relay') return
    const nowMs = performance.now()
    await this.#act(this.steering?.look(peer, way === 'relay' ? 'relay' : 'native', nowMs), peer)
  }

  /** Whether looks should follow each other more quickly. */
  get isDoubtful(): boolean {
    return this.steering?.isDoubtful ?? false
  }

  networkChanged(): void {
    this.steering?.networkChanged(performance.now())
  }

  /** Leaves WireGuard with its own endpoint, since nobody will listen on the bridge's port. */
  async stop(): Promise<void> {
    const { wg } = this.settings
    // WireGuard would follow a packet that came from here.
    this.#isStopped = true
    if (wg?.endpoint !== undefined && this.#seen?.way === 'relay') {
      await this.#setNative().catch(() => undefined)
    }
    if (this.#hole?.isInUse === true) await this.#hole.leave()
    this.#flows.close()
  }

  #send(packet: Buffer): void {
    if (this.direct?.take(packet) !== true) this.#toRelay(packet)
  }

  #toRelay(packet: Uint8Array): void {
    this.counters.packetsOut++
    this.counters.bytesOut += packet.length
    this.#host.outbox.offer(this.queue, { destination: this.settings.key, packet })
  }

  #tell(message: ControlMessage): void {
    const packet = this.#channel?.seal(message, Date.now(), randomBytes(NONCE_BYTES))
    if (packet === undefined) return
    this.#host.outbox.offer(this.queue, { destination: this.settings.key, packet })
  }

  /** Whether the packet was the other bridge's, and not its VPN's. */
  #readControl(packet: Buffer): boolean {
    const nowMs = performance.now()
    if (!this.#control.tryTake(1, nowMs)) return true
    const opened = this.#channel?.open(packet, Date.now())
    if (opened === undefined) return false
    if ('message' in opened) this.#hear(opened.message)
    else if (opened.ignored === 'clock' && !this.#warnedClock) {
      this.#warnedClock = true
      this.#host.log(
        this.settings.name,
        'the clock of the other bridge differs by more than 30 s; it is not heard',
      )
    }
    return true
  }

  #hear(message: ControlMessage): void {
    this.#heardMs = performance.now()
    if (message.kind === 'hello') this.#flows.forget()
    else if (message.kind === 'flow') this.#flows.name(message.flow, message.isReply)
    else if (message.kind === 'ask') void this.#answer()
    else if (message.kind === 'state') void this.#hearSeen(message.seen)
    else this.direct?.hear(message)
  }

  async #answer(): Promise<void> {
    const state = await this.#host.wg?.read().catch(() => undefined)
    if (state !== undefined) await this.look(state)
    this.#tell({ kind: 'state', seen: this.#seen })
  }

  async #hearSeen(far: SeenState | undefined): Promise<void> {
    const { steering } = this
    if (this.#onAnswer !== undefined) return this.#onAnswer(far)
    if (steering === undefined) return
    const action = steering.hear(far, performance.now())
    if (action !== undefined) await this.#act(action, this.#seenState)
    if (steering.isDoubtful) this.#host.lookSoon()
  }

  #wayOf(endpoint: string | undefined): Way | 'none' {
    if (endpoint === undefined) return 'none'
    return endpoint === this.#ownEndpoint ? 'relay' : 'native'
  }

  #note(peer: WgPeerState, way: Way | 'none'): void {
    const nowMs = performance.now()
    if (this.#seen === undefined || peer.rx !== this.#seen.rx) this.#sentUnheardMs = undefined
    else if (peer.tx > this.#seen.tx) this.#sentUnheardMs ??= nowMs
    this.#seenState = peer
    this.#seen = { rx: peer.rx, tx: peer.tx, way }
  }

  /** A side that is not steered may be the only one that notices: the other one may have nothing to send. */
  #tellSilence(): void {
    const nowMs = performance.now()
    if (this.#sentUnheardMs === undefined || nowMs - this.#sentUnheardMs < TELL_EVERY_MS) return
    if (nowMs - this.#toldMs < TELL_EVERY_MS || this.#heardMs === undefined) return
    this.#toldMs = nowMs
    this.#tell({ kind: 'state', seen: this.#seen })
  }

  async #act(action: SteeringAction | undefined, peer: WgPeerState | undefined): Promise<void> {
    if (action === undefined) return
    if (action === 'ask') return this.#tell({ kind: 'ask' })
    this.#isActing = true
    try {
      if (action === 'to-relay') await this.#setRelay()
      else this.steering?.tried(await this.#tryNative(peer?.keepalive ?? 0), performance.now())
    } catch (error) {
      this.#host.log(this.settings.name, `WireGuard cannot be set: ${String(error)}`)
    } finally {
      this.#isActing = false
    }
    this.#host.lookSoon()
  }

  #wireguardHole(): WireguardHole | undefined {
    const { direct: side, settings } = this
    const { wg } = this.#host
    if (side === undefined || wg === undefined) return undefined
    this.#hole ??= new WireguardHole({
      side,
      wg,
      publicKey: this.#wgKey,
      ownEndpoint: this.#ownEndpoint,
      isOwnInFile: settings.listen.port !== 0,
      log: (text) => this.#host.log(settings.name, text),
    })
    return this.#hole
  }

  async #setRelay(): Promise<void> {
    await this.#host.wg?.set(this.#wgKey, { endpoint: this.#ownEndpoint })
    this.#host.log(this.settings.name, 'packets take the relay')
  }

  async #setNative(): Promise<void> {
    const endpoint = await this.#host.native.find(this.settings.wg?.endpoint)
    if (endpoint === undefined) return
    await this.#host.wg?.set(this.#wgKey, { endpoint })
    this.#host.log(this.settings.name, `packets take WireGuard's own way, ${endpoint}`)
  }

  /** Whether the native way lives; then the endpoint stays there. A keepalive leaves at once when it is switched on. */
  async #tryNative(keepalive: number): Promise<boolean> {
    const { wg, native } = this.#host
    const endpoint = await native.find(this.settings.wg?.endpoint)
    if (endpoint === undefined || wg === undefined) return false
    if (keepalive > 0) await wg.set(this.#wgKey, { keepalive: 0 })
    await wg.set(this.#wgKey, { endpoint, keepalive: keepalive > 0 ? keepalive : 1 })
    const lives = await this.#livesBothWays()
    await wg.set(this.#wgKey, { keepalive, ...(lives ? {} : { endpoint: this.#ownEndpoint }) })
    if (lives) this.#host.log(this.settings.name, `packets take WireGuard's own way, ${endpoint}`)
    return lives
  }

  /** Whether the other WireGuard sees this one come the native way, and what it sends that way arrives here. */
  async #livesBothWays(): Promise<boolean> {
    const first = await this.#received()
    let there = await this.#asked()
    if (there === undefined) return await this.#arrivesNatively(first)
    if (there.way !== 'native') {
      // What takes the native way may arrive later than a question over the relay.
      await sleep(TRY_WAIT_MS)
      there = await this.#asked()
    }
    if (there?.way !== 'native') return false
    const before = await this.#received()
    await sleep(TRY_WAIT_MS)
    const later = await this.#asked()
    const isSilent = later === undefined || later.tx === there.tx
    return later?.way === 'native' && (isSilent || (await this.#received()) !== before)
  }

  /**
   * Where no bridge answers, only what arrives here can tell. WireGuard sends to where packets come from, so what came by the relay
   * has moved its endpoint back.
   */
  async #arrivesNatively(received: number | undefined): Promise<boolean> {
    const state = await this.#host.wg?.read()
    const peer = state?.peers.get(keyName(this.#wgKey))
    return peer !== undefined && peer.rx !== received && this.#wayOf(peer.endpoint) === 'native'
  }

  /** What the other bridge sees now; undefined if it does not answer in time. */
  async #asked(): Promise<SeenState | undefined> {
    const { promise, resolve } = Promise.withResolvers<SeenState | undefined>()
    this.#onAnswer = resolve
    const limit = setTimeout(() => resolve(undefined), ANSWER_MS_MAX)
    this.#tell({ kind: 'ask' })
    const answer = await promise
    clearTimeout(limit)
    this.#onAnswer = undefined
    return answer
  }

  async #received(): Promise<number | undefined> {
    const state = await this.#host.wg?.read()
    return state?.peers.get(keyName(this.#wgKey))?.rx
  }

  get #ownEndpoint(): string {
    return hostPortText(this.settings.listen.host, this.port)
  }

  get #wgKey(): Uint8Array {
    return this.settings.wg?.publicKey ?? this.settings.key
  }
}

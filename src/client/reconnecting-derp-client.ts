// A DERP client that reconnects whenever the connection is lost or can't be made, with the back-off of Tailscale's clients,
// and repeats what the server must know. Nothing is queued meanwhile: a packet without a connection is lost, as everywhere
// in DERP.

import { backOffMs, TAILSCALE_BACK_OFF } from '#protocol/back-off.ts'
import type { ServerInfo } from '#protocol/handshake.ts'
import type { ClientEvents } from './client-events.ts'
import type { ConnectionEnd } from './connect-error.ts'
import { DerpClient, SharedResources, type ClientOptions, type OutgoingPacket } from './derp-client.ts'
import { Emitter, type EventListeners } from './emitter.ts'
import { LivenessWatch, type LivenessOptions } from './liveness-watch.ts'
import { TargetChoice } from './target-choice.ts'
import type { TargetOptions } from './target.ts'

export interface ReconnectingOptions extends ClientOptions {
  /** Is asked before each attempt where to connect; a rejection is a failed attempt. Its options replace those given. */
  readonly findTarget?: () => Promise<TargetOptions>
  /** Several servers in place of one, for instance relays of one fleet: the nearest that answers, and another when it fails. */
  readonly targets?: readonly TargetOptions[]
  /** Pings while something is sent and nothing comes back, and cuts a connection that does not answer. Default: no such pings. */
  readonly liveness?: LivenessOptions
}

/** A client's events. `closed` comes only after `close()`. */
export interface ReconnectingEvents extends ClientEvents {
  connected: ServerInfo
  /** An attempt has failed (an Error) or a connection was lost; the next attempt is in `retryInMs`. */
  disconnected: {
    readonly reason: Error | ConnectionEnd
    readonly failureCount: number
    readonly retryInMs: number
  }
}

/** A server that restarts may ask for a pause before the next attempt; nobody waits longer than for a reboot. */
const RESTART_MS_MAX = 60_000

export class ReconnectingDerpClient implements AsyncDisposable {
  readonly #options: ReconnectingOptions
  readonly #random: () => number
  readonly #events = new Emitter<ReconnectingEvents>()
  readonly #forwarders = forwarders(this.#events)
  readonly #choice: TargetChoice | undefined
  readonly #findTarget: (() => Promise<TargetOptions>) | undefined
  #watch: LivenessWatch | undefined
  #client: DerpClient
  #isPreferred: boolean
  #isWatcher: boolean
  #failureCount = 0
  /** When to reconnect by the server's own words, if it has said that it restarts or goes away. */
  #restartInMs: number | undefined
  #retry: NodeJS.Timeout | undefined
  #state: 'new' | 'running' | 'closed' = 'new'

  /**
   * Checks the options and does nothing else.
   *
   * @param random numbers of [0, 1) that spread the delays of many clients
   * @throws RangeError that names an invalid option
   */
  constructor(options: ReconnectingOptions, random: () => number = Math.random) {
    const { targets, findTarget } = options
    this.#choice = targets === undefined ? undefined : new TargetChoice(targets)
    this.#findTarget =
      this.#choice === undefined ? findTarget : async () => (await this.#choice?.next()) ?? {}
    this.#options = { ...targets?.[0], ...options, shared: options.shared ?? new SharedResources() }
    this.#random = random
    this.#isPreferred = options.isPreferred ?? false
    this.#isWatcher = options.isWatcher ?? false
    this.#client = this.#newClient()
  }

  /** Connects, and stays connected until `close`. */
  start(): void {
    if (this.#state !== 'new') throw new Error('a ReconnectingDerpClient starts once')
    this.#state = 'running'
    const { liveness } = this.#options
    if (liveness !== undefined) this.#watch = this.#newWatch(liveness)
    this.#connect()
  }

  /** Calls `listener` for every such event from now on. Returns the function that removes it. */
  on<Name extends keyof ReconnectingEvents>(
    name: Name,
    listener: (value: ReconnectingEvents[Name]) => void,
  ): () => void {
    return this.#events.on(name, listener)
  }

  /** The next such event, or the next that satisfies `isWanted`. Rejects if the client closes first. */
  next<Name extends keyof ReconnectingEvents>(
    name: Name,
    isWanted?: (value: ReconnectingEvents[Name]) => boolean,
  ): Promise<ReconnectingEvents[Name]> {
    return this.#events.next(name, isWanted)
  }

  get isConnected(): boolean {
    return this.#client.isConnected
  }

  get publicKey(): Uint8Array {
    return this.#options.key.publicKey
  }

  /** The current connection, or the last one. */
  get client(): DerpClient {
    return this.#client
  }

  /** Sends a packet. Returns false if not connected; the packet is lost. Await `drained` before sending much more. */
  send(destination: Uint8Array, packet: Uint8Array): boolean {
    if (!this.isConnected) return false
    this.#watch?.sent()
    this.#client.send(destination, packet)
    return true
  }

  /** `send` for several packets in one write. */
  sendAll(packets: readonly OutgoingPacket[]): boolean {
    if (!this.isConnected) return false
    this.#watch?.sent()
    this.#client.sendAll(packets)
    return true
  }

  /** Bytes that were sent and are still in this process. */
  get queuedBytes(): number {
    return this.#client.queuedBytes
  }

  /** Resolves when more can be sent. Rejects if not connected. */
  drained(): Promise<void> {
    return this.#client.drained()
  }

  /** The round trip to the server in ms. Rejects without a pong in time, and if not connected. */
  ping(timeoutMs?: number): Promise<number> {
    return this.#client.ping(timeoutMs)
  }

  /** Notes whether this server is the client's home, now and at every reconnect. */
  notePreferred(isHome: boolean): void {
    this.#isPreferred = isHome
    this.#client.notePreferred(isHome)
  }

  /** With the mesh key: subscribes to presence, now and at every reconnect. */
  watch(): void {
    this.#isWatcher = true
    this.#client.watch()
  }

  /** With the mesh key: `send` in another client's name. */
  forwardPacket(source: Uint8Array, destination: Uint8Array, packet: Uint8Array): boolean {
    if (!this.isConnected) return false
    this.#client.forwardPacket(source, destination, packet)
    return true
  }

  /** With the mesh key: closes all connections of a key. Returns false if not connected. */
  closePeer(key: Uint8Array): boolean {
    if (!this.isConnected) return false
    this.#client.closePeer(key)
    return true
  }

  /** Cuts the connection at once, if there is one, and connects anew. */
  redial(): void {
    this.#client.destroy({ kind: 'closed', message: 'cut to connect anew' })
  }

  /** Closes the client for good. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#stop()
    await this.#client.close()
    this.#finish({ kind: 'closed', message: 'closed by this side' })
  }

  /** Closes the client for good and at once; unflushed bytes are lost. */
  destroy(): void {
    if (this.#state === 'closed') return
    this.#stop()
    this.#client.destroy()
    this.#finish({ kind: 'closed', message: 'cut by this side' })
  }

  #stop(): void {
    this.#state = 'closed'
    clearTimeout(this.#retry)
    this.#watch?.stop()
  }

  #finish(end: ConnectionEnd): void {
    this.#events.emit('closed', end)
    this.#events.finish(new Error(`not connected (${end.kind}): ${end.message}`))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #newClient(target?: TargetOptions): DerpClient {
    const sent = { isPreferred: this.#isPreferred, isWatcher: this.#isWatcher }
    const client = new DerpClient(
      { ...(target === undefined ? this.#options : withoutPlace(this.#options)), ...target, ...sent },
      { ...this.#forwarders, closed: (end) => this.#onLost(end) },
    )
    client.on('serverInfo', (info) => this.#onAdmitted(client, info, sent))
    client.on('restarting', ({ reconnectInMs }) => {
      this.#restartInMs = Math.min(reconnectInMs, RESTART_MS_MAX)
    })
    return client
  }

  #newWatch(options: LivenessOptions): LivenessWatch {
    const watch = new LivenessWatch(options, {
      ping: () => void this.#client.ping().catch(() => undefined),
      onDead: (silentMs) => {
        this.#client.destroy({ kind: 'silent', message: `no answer to pings for ${silentMs} ms` })
      },
      queuedBytes: () => this.#client.queuedBytes,
      now: () => performance.now(),
    })
    for (const name of ANSWERS) this.#events.on(name, () => watch.heard())
    return watch
  }

  #connect(): void {
    this.#attempt().catch((error: unknown) => {
      this.#onLost(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #attempt(): Promise<void> {
    const target = await this.#findTarget?.()
    if (this.#state === 'closed') return
    if (target !== undefined) this.#client = this.#newClient(target)
    await this.#client.connect()
  }

  #onAdmitted(
    client: DerpClient,
    info: ServerInfo,
    sent: { isPreferred: boolean; isWatcher: boolean },
  ): void {
    this.#failureCount = 0
    this.#choice?.worked()
    // Sends changes made after the login was written.
    if (this.#isPreferred !== sent.isPreferred) client.notePreferred(this.#isPreferred)
    if (this.#isWatcher && !sent.isWatcher) client.watch()
    this.#events.emit('connected', info)
  }

  #onLost(reason: Error | ConnectionEnd): void {
    if (this.#state === 'closed') return
    const failureCount = ++this.#failureCount
    this.#choice?.failed()
    const retryInMs = this.#retryInMs(failureCount)
    this.#retry = setTimeout(() => {
      if (this.#findTarget === undefined) this.#client = this.#newClient()
      this.#connect()
    }, retryInMs)
    this.#events.emit('disconnected', { reason, failureCount, retryInMs })
  }

  /** Many clients that get the same advice do not follow it at the same moment. */
  #retryInMs(failureCount: number): number {
    const random = this.#random()
    const restartInMs = this.#restartInMs
    this.#restartInMs = undefined
    if (restartInMs !== undefined) return Math.round(restartInMs * (0.5 + random))
    return backOffMs(TAILSCALE_BACK_OFF, failureCount, random)
  }
}

/** A target that was found is the whole place, by URL or by host and port. */
function withoutPlace(options: ReconnectingOptions): Omit<ReconnectingOptions, 'url' | 'host' | 'port'> {
  const { url: _url, host: _host, port: _port, ...others } = options
  return others
}

/** What a server sends, and by which it is known to live. */
const ANSWERS = ['packet', 'pong', 'keepAlive', 'peerGone', 'health', 'serverInfo'] as const

/** Listeners that forward the events that do not depend on the connection. */
function forwarders(events: Emitter<ReconnectingEvents>): EventListeners<ClientEvents> {
  return {
    packet: (packet) => events.emit('packet', packet),
    peerGone: (gone) => events.emit('peerGone', gone),
    peerPresent: (presence) => events.emit('peerPresent', presence),
    health: (problem) => events.emit('health', problem),
    restarting: (delays) => events.emit('restarting', delays),
    pong: (pong) => events.emit('pong', pong),
    keepAlive: () => events.emit('keepAlive', undefined),
    serverInfo: (info) => events.emit('serverInfo', info),
  }
}

// A client of a DERP map: measures the map's regions, connects to its home by the rules of Tailscale's clients, falls back to
// the region's next relay, and moves when another region is better by those rules (home-choice.ts). Connects to the home
// only: peers of other regions are reached where relays route between regions, not by connections of this client.

import { newKeyPair, SharedResources } from './derp-client.ts'
import { Emitter } from './emitter.ts'
import { HomeChoice, type HomeDecision } from './home-choice.ts'
import { measureRegions } from './latency-measurement.ts'
import type { LoginOptions } from './client-login.ts'
import type { LivenessOptions } from './liveness-watch.ts'
import { isMeasured } from './measuring-plan.ts'
import { MapTrust, type MapTrustOptions } from './map-trust.ts'
import { ReconnectingDerpClient, type ReconnectingEvents } from './reconnecting-derp-client.ts'
import { reachableNode } from './region-dial.ts'
import type { MapRegion } from './relay-map.ts'
import type { TargetOptions } from './target.ts'

export interface RelayMap {
  readonly regions: readonly MapRegion[]
  /** HomeParams.RegionScore; undefined leaves the last map's scores as they are. */
  readonly regionScores?: ReadonlyMap<number, number>
}

export interface HomeClientOptions extends Omit<LoginOptions, 'key' | 'isPreferred'> {
  readonly map: RelayMap
  /** Default: a new key. */
  readonly key?: LoginOptions['key']
  readonly trust?: MapTrustOptions
  /** Of the connection to the home, as of a ReconnectingDerpClient. */
  readonly liveness?: LivenessOptions
  /** Between measurements. Default: 20 to 26 s at random, as Tailscale's clients in use. */
  readonly measureEveryMs?: number
}

/** The events of a connection, of whatever region, and the choices of the home. */
export interface HomeEvents extends Omit<ReconnectingEvents, 'closed' | 'restarting'> {
  /** After each measurement, also if the home stays. */
  measured: HomeDecision
  /** Another region is the home; its connection is being made. */
  home: MapRegion
}

const MEASURE_MS = { min: 20_000, max: 26_000 }
/** Peers learn the new home from the control server; until then they send to the old one. */
const OLD_HOME_MS = 60_000

interface Connection {
  readonly region: MapRegion
  readonly client: ReconnectingDerpClient
}

export class HomeClient implements AsyncDisposable {
  readonly #options: HomeClientOptions
  readonly #key: LoginOptions['key']
  readonly #trust: MapTrust
  readonly #shared = new SharedResources()
  readonly #choice: HomeChoice
  readonly #heardMs = new Map<number, number>()
  readonly #events = new Emitter<HomeEvents>()
  readonly #old = new Map<Connection, NodeJS.Timeout>()
  /** Chooses a region when none answers: the same one each time. */
  readonly #fallback = Math.random()
  #map: RelayMap
  #home: Connection | undefined
  #next: NodeJS.Timeout | undefined
  #measuring: Promise<void> | undefined
  #isAgain = false
  #isClosed = false

  constructor(options: HomeClientOptions) {
    this.#options = options
    this.#key = options.key ?? newKeyPair()
    this.#trust = new MapTrust(options.trust)
    this.#map = options.map
    this.#choice = new HomeChoice({
      nowMs: () => performance.now(),
      lastHeardMs: (region) => this.#heardMs.get(region),
    })
    this.setMap(options.map)
  }

  /** Measures, connects, and goes on measuring until `close`. */
  start(): void {
    this.#measure()
  }

  /** Replaces the map; then the regions are measured at once. A home whose region has changed is connected anew. */
  setMap(map: RelayMap): void {
    this.#map = map
    if (map.regionScores !== undefined) this.#choice.setScores(map.regionScores)
    const region = map.regions.find(({ id }) => id === this.#home?.region.id)
    if (this.#home !== undefined && JSON.stringify(region) !== JSON.stringify(this.#home.region)) {
      void this.#home.client.close()
      this.#home = undefined
    }
    if (this.#next !== undefined || this.#measuring !== undefined) this.#measure()
  }

  on<Name extends keyof HomeEvents>(name: Name, listener: (value: HomeEvents[Name]) => void): () => void {
    return this.#events.on(name, listener)
  }

  /** The next such event, or the next that satisfies `isWanted`. Rejects if the client closes first. */
  next<Name extends keyof HomeEvents>(
    name: Name,
    isWanted?: (value: HomeEvents[Name]) => boolean,
  ): Promise<HomeEvents[Name]> {
    return this.#events.next(name, isWanted)
  }

  get publicKey(): Uint8Array {
    return this.#key.publicKey
  }

  /** The home's region; undefined before the first measurement. */
  get home(): MapRegion | undefined {
    return this.#home?.region
  }

  /** The connection to the home. */
  get client(): ReconnectingDerpClient | undefined {
    return this.#home?.client
  }

  /** Sends by the home. Returns false if it is not connected; the packet is lost. */
  send(destination: Uint8Array, packet: Uint8Array): boolean {
    return this.#home?.client.send(destination, packet) ?? false
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#next)
    for (const timer of this.#old.values()) clearTimeout(timer)
    const all = [...this.#old.keys(), ...(this.#home === undefined ? [] : [this.#home])]
    await Promise.all(all.map(async ({ client }) => await client.close()))
    this.#events.finish(new Error('closed by this side'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** One measurement at a time; a wish during one is for another after it. */
  #measure(): void {
    clearTimeout(this.#next)
    this.#isAgain = this.#measuring !== undefined
    if (this.#isAgain) return
    this.#measuring = this.#measureOnce().finally(() => {
      this.#measuring = undefined
      if (this.#isClosed) return
      if (this.#isAgain) return this.#measure()
      const { measureEveryMs = MEASURE_MS.min + Math.random() * (MEASURE_MS.max - MEASURE_MS.min) } =
        this.#options
      this.#next = setTimeout(() => this.#measure(), measureEveryMs)
    })
  }

  async #measureOnce(): Promise<void> {
    const { regions } = this.#map
    const measurement = await measureRegions(regions, { trust: this.#trust, shared: this.#shared })
    if (this.#isClosed || this.#isAgain) return
    const decision = this.#choice.choose(measurement)
    this.#events.emit('measured', decision)
    const chosen = regions.find(({ id }) => id === decision.home)
    // A client without a measured home keeps the one that it has.
    const region = chosen ?? (this.#home === undefined ? this.#anyRegion() : undefined)
    if (region !== undefined && region.id !== this.#home?.region.id) this.#moveTo(region)
  }

  #anyRegion(): MapRegion | undefined {
    const possible = this.#map.regions.filter(
      (region) => isMeasured(region) && region.nodes.some(({ isStunOnly }) => isStunOnly !== true),
    )
    return possible[Math.floor(this.#fallback * possible.length)]
  }

  #moveTo(region: MapRegion): void {
    const old = this.#home
    if (old !== undefined) {
      old.client.notePreferred(false)
      const close = (): void => {
        this.#old.delete(old)
        void old.client.close()
      }
      this.#old.set(old, setTimeout(close, OLD_HOME_MS))
    }
    this.#home = { region, client: this.#connect(region) }
    this.#events.emit('home', region)
  }

  #connect(region: MapRegion): ReconnectingDerpClient {
    const { map: _map, trust: _trust, measureEveryMs: _every, ...login } = this.#options
    const client = new ReconnectingDerpClient({
      ...login,
      key: this.#key,
      isPreferred: true,
      shared: this.#shared,
      // Never dialled: each attempt asks for its target.
      host: 'home.invalid',
      findTarget: async () => await this.#targetIn(region),
    })
    for (const name of FRAMES) this.#forward(client, region.id, name)
    client.on('connected', (info) => this.#events.emit('connected', info))
    client.on('disconnected', (loss) => this.#events.emit('disconnected', loss))
    client.start()
    return client
  }

  /** Any frame is a sign of life of its region. */
  #forward(client: ReconnectingDerpClient, region: number, name: (typeof FRAMES)[number]): void {
    client.on(name, (value) => {
      this.#heardMs.set(region, performance.now())
      this.#events.emit(name, value)
    })
  }

  /** The first relay that accepts TCP, and the region's first one by name if it is another. */
  async #targetIn(region: MapRegion): Promise<TargetOptions> {
    const reachable = await reachableNode(region)
    const ideal = region.nodes.find(({ isStunOnly }) => isStunOnly !== true)
    const isIdeal = ideal === undefined || ideal === reachable.node
    return { ...this.#trust.targetOf(reachable), ...(isIdeal ? {} : { idealNode: ideal.name }) }
  }
}

/** The events that are frames of a relay. */
const FRAMES = ['packet', 'peerGone', 'peerPresent', 'health', 'pong', 'keepAlive', 'serverInfo'] as const

// Clients of a region that send to each other at a steady rate, and reconnect at once to the next relay of the region when
// their connection ends, as Tailscale's clients do. Each counts what it has sent and what has arrived, so that a lost packet
// belongs to a client. All connections are in this process.

import { randomBytes } from 'node:crypto'
import type { TargetOptions } from '#client/target.ts'
import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'

/** From the source of Tailscale's client: 10 ms times the square of the failures so far, up to 5 s. */
const BACK_OFF_MS = 10
const BACK_OFF_MS_MAX = 5_000
/** Flow number, packet number, time sent; then random bytes. */
const HEAD_BYTES = 16
const TICK_MS = 5
/** Logins at the same time, at the start. */
const LOGINS_AT_ONCE = 32

export interface MovingClientsOptions {
  readonly count: number
  /** Packets per second of each client. */
  readonly rate: number
  readonly packetBytes: number
  /** The relays of the region, in the order in which they are tried. */
  readonly relays: readonly TargetOptions[]
  /** The place in `relays` of each client's first relay. */
  readonly firstOf: (index: number) => number
  /** Each client redials the relay that it was at. */
  readonly staysAtRelay?: boolean
}

/** The numbers of one client: it sends to one other, and one other sends to it. */
export class MovingClient {
  readonly key = newKeyPair()
  readonly #options: MovingClientsOptions
  readonly #shared: SharedResources
  #client: DerpClient | undefined = undefined
  #at: number
  #failures = 0
  #isClosed = false
  /** Packets that this client has given to an open connection. */
  sent = 0
  /** Packets that were due while it was not connected. */
  unsent = 0
  /** Packets that have arrived for this client, without repetitions. */
  received = 0
  repeated = 0
  /** How often its connection has ended. */
  disconnects = 0
  /** The longest time from the end of a connection to the next login. */
  longestAwayMs = 0
  #lostMs = 0
  readonly #arrived = new Set<number>()

  constructor(index: number, options: MovingClientsOptions, shared: SharedResources) {
    this.#options = options
    this.#shared = shared
    this.#at = options.firstOf(index)
  }

  get isConnected(): boolean {
    return this.#client?.isConnected === true
  }

  async connect(): Promise<void> {
    const relay = this.#options.relays[this.#at]
    if (relay === undefined) throw new Error('no relays')
    const client = new DerpClient(
      { ...relay, key: this.key, shared: this.#shared, isPreferred: true },
      {
        packet: ({ packet }) => this.#onPacket(packet),
        serverInfo: () => this.#onConnected(),
        closed: () => this.#onLost(),
      },
    )
    this.#client = client
    await client.connect()
  }

  send(destination: Uint8Array, flow: number, body: Buffer): void {
    if (!this.isConnected) {
      this.unsent++
      return
    }
    body.writeUInt32LE(flow, 0)
    body.writeUInt32LE(this.sent++, 4)
    this.#client?.send(destination, body)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#client?.close()
  }

  #onPacket(packet: Buffer): void {
    const number = packet.readUInt32LE(4)
    if (this.#arrived.has(number)) this.repeated++
    else this.received++
    this.#arrived.add(number)
  }

  #onConnected(): void {
    this.#failures = 0
    if (this.disconnects > 0)
      this.longestAwayMs = Math.max(this.longestAwayMs, performance.now() - this.#lostMs)
  }

  #onLost(): void {
    if (this.#isClosed) return
    this.disconnects++
    this.#lostMs = performance.now()
    this.#redial()
  }

  /** The next relay of the region, or the same, at once after the first failure. */
  #redial(): void {
    if (this.#isClosed) return
    if (this.#options.staysAtRelay !== true) this.#at = (this.#at + 1) % this.#options.relays.length
    const delayMs = Math.min(BACK_OFF_MS * this.#failures ** 2, BACK_OFF_MS_MAX)
    setTimeout(() => {
      this.connect().catch(() => {
        this.#failures++
        this.#redial()
      })
    }, delayMs)
  }
}

export interface Losses {
  readonly sent: number
  readonly received: number
  readonly repeated: number
  readonly lost: number
  readonly unsent: number
  readonly disconnects: number
  /** Lost packets of the client at that share of all clients, ordered by losses. */
  readonly lostAt: (share: number) => number
  readonly awayMsAt: (share: number) => number
}

export class MovingClients implements AsyncDisposable {
  readonly clients: readonly MovingClient[]
  readonly #options: MovingClientsOptions
  readonly #body: Buffer
  #timer: NodeJS.Timeout | undefined = undefined
  #startedMs = 0
  #ticks = 0

  private constructor(options: MovingClientsOptions) {
    this.#options = options
    const shared = new SharedResources()
    this.clients = Array.from(
      { length: options.count },
      (_, index) => new MovingClient(index, options, shared),
    )
    this.#body = randomBytes(Math.max(HEAD_BYTES, options.packetBytes))
  }

  /** Clients that are connected; none sends yet. */
  static async connect(options: MovingClientsOptions): Promise<MovingClients> {
    const all = new MovingClients(options)
    const waiting = [...all.clients]
    const logIn = async (): Promise<void> => {
      for (let client = waiting.pop(); client !== undefined; client = waiting.pop()) await client.connect()
    }
    await Promise.all(Array.from({ length: LOGINS_AT_ONCE }, logIn))
    return all
  }

  /** From now on each client sends to the one half-way round. */
  start(): void {
    this.#startedMs = performance.now()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  losses(): Losses {
    const { clients } = this
    const lost = clients.map(({ sent }, i) => sent - this.#partner(i).received).sort((a, b) => a - b)
    const away = clients.map(({ longestAwayMs }) => longestAwayMs).sort((a, b) => a - b)
    const sum = (read: (client: MovingClient) => number): number =>
      clients.reduce((total, one) => total + read(one), 0)
    const at = (sorted: readonly number[], share: number): number =>
      sorted[Math.ceil(share * sorted.length) - 1] ?? 0
    return {
      sent: sum(({ sent }) => sent),
      received: sum(({ received }) => received),
      repeated: sum(({ repeated }) => repeated),
      lost: lost.reduce((total, one) => total + one, 0),
      unsent: sum(({ unsent }) => unsent),
      disconnects: sum(({ disconnects }) => disconnects),
      lostAt: (share) => at(lost, share),
      awayMsAt: (share) => at(away, share),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    await Promise.all(this.clients.map(async (client) => await client.close()))
  }

  #partner(index: number): MovingClient {
    const { clients } = this
    return clients[(index + Math.floor(clients.length / 2)) % clients.length] as MovingClient
  }

  /** Sends what is due by now, a part of all clients in each tick. */
  #tick(): void {
    const { clients } = this
    const { rate } = this.#options
    const due = Math.floor(((performance.now() - this.#startedMs) / 1_000) * rate * clients.length)
    for (; this.#ticks < due; this.#ticks++) {
      const index = this.#ticks % clients.length
      const client = clients[index] as MovingClient
      client.send(this.#partner(index).key.publicKey, index, this.#body)
    }
  }
}

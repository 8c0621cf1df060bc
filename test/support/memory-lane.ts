// A lane without sockets, and WireGuard peers without tunnels, under a clock that the test moves: datagrams are kept, and given on
// when the test says so.

import { randomBytes } from 'node:crypto'
import { LaneCounters, type LaneNumber } from '#lane/lane-counters.ts'
import { mac1Of, MacWriter } from '#lane/macs.ts'
import { INITIATION_MAC1_AT, RESPONSE_MAC1_AT } from '#lane/messages.ts'
import {
  initiate,
  keepalive,
  proveInitiation,
  readInitiation,
  readResponse,
  respond,
  type SentInitiation,
  type StaticKey,
  type TransportKeys,
} from '#lane/noise.ts'
import { timestampAt } from '#lane/tai64n.ts'
import { WireguardLane } from '#lane/wireguard-lane.ts'
import { X25519Secret } from '#protocol/x25519.ts'
import { readRoster } from '#protocol/lane-roster.ts'
import { SingleThread } from '#relay/single-thread.ts'
import type { OtherThreads } from '#relay/ports.ts'

export interface Datagram {
  readonly message: Buffer
  readonly host: string
  readonly port: number
}

export function staticKey(): StaticKey {
  const secret = new X25519Secret(randomBytes(32))
  return { secret, publicKey: secret.publicKey }
}

export class MemoryLane implements LaneDoor {
  readonly own: StaticKey
  readonly counters = new LaneCounters(LaneCounters.memory())
  readonly lane: WireguardLane
  readonly sent: Datagram[] = []
  readonly homes: string[] = []
  changes = 0
  nowMs = 1_000
  /** The Unix time is so much ahead. */
  wallAheadMs = 1_800_000_000_000
  #later: { readonly atMs: number; readonly callback: () => void }[] = []

  constructor(own: StaticKey = staticKey(), threads: OtherThreads = new SingleThread()) {
    this.own = own
    this.lane = new WireguardLane({
      own,
      counters: this.counters,
      threads,
      send: (message, host, port) => void this.sent.push({ message: Buffer.from(message), host, port }),
      now: () => this.nowMs,
      wallMs: () => this.wallMs,
      random: (bytes) => new Uint8Array(randomBytes(bytes)),
      later: (delayMs, callback) => void this.#later.push({ atMs: this.nowMs + delayMs, callback }),
      endTurnLater: () => undefined,
      onChange: () => (this.changes += 1),
      onHome: (key, isHome) => void this.homes.push(`${Buffer.from(key).toString('hex', 0, 4)} ${isHome}`),
    })
  }

  get wallMs(): number {
    return this.nowMs + this.wallAheadMs
  }

  useRoster(text: string): void {
    const read = readRoster('roster', text)
    if ('problems' in read) throw new Error(read.problems.join('\n'))
    this.lane.useRoster(read.roster)
  }

  receive(message: Buffer, host: string, port: number): void {
    this.lane.receive(message, host, port)
  }

  count(name: LaneNumber): number {
    return this.counters.read()[name]
  }

  /** Moves the clock, second by second. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1_000) {
      this.nowMs += Math.min(1_000, left)
      const due = this.#later.filter(({ atMs }) => atMs <= this.nowMs)
      this.#later = this.#later.filter((one) => !due.includes(one))
      for (const { callback } of due) callback()
      this.lane.sweep()
    }
  }

  /** What was sent since the last call. */
  take(): readonly Datagram[] {
    return this.sent.splice(0)
  }
}

/** The lane as a peer reaches it. */
export interface LaneDoor {
  readonly own: Pick<StaticKey, 'publicKey'>
  readonly nowMs: number
  readonly wallMs: number
  receive(message: Buffer, host: string, port: number): void
  /** What the lane has sent since the last call. */
  take(): readonly Datagram[]
}

/** A peer of the lane and of others, as far as handshakes go. */
export class MemoryPeer {
  readonly key: StaticKey
  host: string
  port: number
  readonly #lane: LaneDoor
  readonly #toLane: MacWriter
  #sent: SentInitiation | undefined = undefined
  #timeMs = 0
  /** The session with the lane: its keys, and the lane's index. */
  session: { readonly keys: TransportKeys; readonly index: number } | undefined = undefined
  #counter = 0

  constructor(lane: LaneDoor, host: string, port: number) {
    this.key = staticKey()
    this.host = host
    this.port = port
    this.#lane = lane
    this.#toLane = new MacWriter(lane.own.publicKey, mac1Of(lane.own.publicKey))
  }

  get text(): string {
    return Buffer.from(this.key.publicKey).toString('base64')
  }

  send(message: Buffer): void {
    this.#lane.receive(Buffer.from(message), this.host, this.port)
  }

  /** An initiation to the lane, or to another peer. */
  initiation(to: Uint8Array = this.#lane.own.publicKey, index = 1): Buffer {
    this.#timeMs = Math.max(this.#lane.wallMs, this.#timeMs + 1)
    const shared = this.key.secret.agree(to) as Uint8Array
    const fields = { index, timestamp: timestampAt(this.#timeMs), ephemeralKey: randomBytes(32) }
    const made = initiate(this.key, { publicKey: to, shared }, fields)
    if (made === undefined) throw new Error('a key of low order')
    this.#sent = made.sent
    const isToLane = Buffer.compare(to, this.#lane.own.publicKey) === 0
    const macs = isToLane ? this.#toLane : new MacWriter(to, mac1Of(to))
    macs.write(made.message, INITIATION_MAC1_AT, this.#lane.nowMs)
    return made.message
  }

  /** Reads the lane's answer to the last initiation. Returns whether it was one. */
  read(response: Buffer): boolean {
    if (this.#sent === undefined) return false
    const keys = readResponse(this.#sent, response)
    if (keys === undefined) return false
    this.session = { keys, index: response.readUInt32LE(4) }
    this.#counter = 0
    return true
  }

  takeCookie(reply: Buffer): boolean {
    return this.#toLane.takeCookie(reply, this.#lane.nowMs)
  }

  keepalive(): Buffer {
    if (this.session === undefined) throw new Error('no session with the lane')
    return keepalive(this.session.keys, this.session.index, this.#counter++)
  }

  /** The whole handshake from where it is. */
  register(): void {
    this.#lane.take()
    this.send(this.initiation())
    const [response] = this.#lane.take()
    if (response === undefined || !this.read(response.message)) throw new Error('no response')
    this.send(this.keepalive())
  }

  /** Answers a probe of the lane, from where it is. */
  answer(probe: Buffer): boolean {
    const shared = this.key.secret.agree(this.#lane.own.publicKey) as Uint8Array
    const read = readInitiation(this.key, probe)
    const proven = read && proveInitiation(read, shared)
    const made = proven && respond(proven, 77, randomBytes(32))
    if (made === undefined) return false
    this.#toLane.write(made.message, RESPONSE_MAC1_AT, this.#lane.nowMs)
    this.send(made.message)
    return true
  }
}

/** A transport message between peers. */
export function transport(receiver: number, bytes = 64): Buffer {
  const message = Buffer.alloc(bytes)
  message[0] = 4
  message.writeUInt32LE(receiver, 4)
  return message
}

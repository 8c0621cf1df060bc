// One round of STUN requests by a plan, as a Tailscale client makes it: one socket for each family, each region's set ends
// with its first answer, and the round ends early once three regions have answered. Reports latencies and draws no
// conclusion. Its sockets and timers end with the round.

import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { isIP } from 'node:net'
import { toHex } from '#protocol/bytes.ts'
import { ipToText, isMappedIpv4 } from '#protocol/ip-address.ts'
import { bindingRequest, readBindingAnswer, TRANSACTION_ID_BYTES } from '#protocol/stun.ts'
import { addressIn, type ProbeSet, type StunProbe } from './measuring-plan.ts'
import type { Family, MapNode } from './relay-map.ts'
import { STUN_PORT } from '#protocol/default-ports.ts'

/** The limit of Tailscale's clients for this part of a report. */
const ROUND_MS = 3_000
/** After so many regions have answered, slower ones get twice the longest time so far. */
const REGIONS_ENOUGH = 3
const ENOUGH_FACTOR = 2
/** Then answers are read before more is sent, so that a large map does not delay its own times. */
const SENDS_AT_ONCE = 32
/** For a datagram of a host to itself. */
const PREPARE_MS = 100
const NS_PER_MS = 1_000_000

/** Why a round ended: every set was answered, three regions were enough, or time was over. */
export type RoundEnd = 'all' | 'enough' | 'time'

export interface StunFindings {
  readonly end: RoundEnd
  /** The smallest latency of each region that answered, in whole nanoseconds, by family. */
  readonly latencyNs: Readonly<Record<Family, ReadonlyMap<number, number>>>
  /** This host's address as the last server to answer saw it. */
  readonly publicAddress: Readonly<Partial<Record<Family, string>>>
  /** The last error of sending, such as ENETUNREACH. */
  readonly sendError: Readonly<Partial<Record<Family, string>>>
}

interface RunningSet {
  readonly timers: NodeJS.Timeout[]
  isOver: boolean
}

interface SentProbe {
  readonly probe: StunProbe
  readonly set: RunningSet
  readonly sentMs: number
}

export class StunRound {
  readonly #plan: readonly ProbeSet[]
  readonly #sockets: Readonly<Record<Family, Socket>> = { 4: newSocket(4), 6: newSocket(6) }
  readonly #sent = new Map<string, SentProbe>()
  readonly #latencyNs = { 4: new Map<number, number>(), 6: new Map<number, number>() }
  readonly #publicAddress: Partial<Record<Family, string>> = {}
  readonly #sendError: Partial<Record<Family, string>> = {}
  readonly #sets: RunningSet[] = []
  readonly #names = new Map<
    string,
    Promise<readonly { readonly family: number; readonly address: string }[]>
  >()
  readonly #over = Promise.withResolvers<RoundEnd>()
  readonly #due: (() => void)[] = []
  #isSending = false
  #openSets = 0
  #ipv4Answers = 0
  #enough: NodeJS.Timeout | undefined

  /** @param plan what to send; a round is run once */
  constructor(plan: readonly ProbeSet[]) {
    this.#plan = plan
  }

  /** Resolves when the round is over. Never rejects: a host without network finds nothing. */
  async run(): Promise<StunFindings> {
    for (const family of [4, 6] as const) {
      this.#sockets[family].on('message', (message) => this.#onAnswer(message))
      this.#sockets[family].on('error', (error) => this.#noteError(family, error))
    }
    await Promise.all(([4, 6] as const).map((family) => this.#prepare(family)))
    const limit = setTimeout(() => this.#over.resolve('time'), ROUND_MS)
    this.#openSets = this.#plan.length
    if (this.#openSets === 0) this.#over.resolve('all')
    for (const probes of this.#plan) this.#start(probes)
    const end = await this.#over.promise
    clearTimeout(limit)
    clearTimeout(this.#enough)
    for (const set of this.#sets) this.#endSet(set)
    for (const socket of Object.values(this.#sockets)) socket.close()
    const found = { publicAddress: this.#publicAddress, sendError: this.#sendError }
    return { end, latencyNs: this.#latencyNs, ...found }
  }

  /**
   * Binds the socket and sends one datagram to itself: the first use of a socket takes the runtime milliseconds, which the
   * first region would be charged.
   */
  async #prepare(family: Family): Promise<void> {
    const socket = this.#sockets[family]
    try {
      const address = family === 4 ? '127.0.0.1' : '::1'
      // The socket may be bound within the call.
      const isBound = once(socket, 'listening')
      socket.bind(0)
      await isBound
      const arrival = once(socket, 'message', { signal: AbortSignal.timeout(PREPARE_MS) })
      socket.send(
        bindingRequest(randomBytes(TRANSACTION_ID_BYTES)),
        socket.address().port,
        address,
        () => undefined,
      )
      await arrival
    } catch {
      // Without this family, or without its loopback address. Then every request fails, and says why.
    }
  }

  #start(probes: ProbeSet): void {
    const set: RunningSet = { timers: [], isOver: false }
    this.#sets.push(set)
    for (const probe of probes) {
      set.timers.push(setTimeout(() => this.#queue(() => void this.#try(probe, set)), probe.delayMs))
    }
  }

  #queue(send: () => void): void {
    this.#due.push(send)
    if (this.#isSending) return
    this.#isSending = true
    this.#sendSome()
  }

  #sendSome(): void {
    for (const send of this.#due.splice(0, SENDS_AT_ONCE)) send()
    if (this.#due.length === 0) this.#isSending = false
    else setImmediate(() => this.#sendSome())
  }

  async #try(probe: StunProbe, set: RunningSet): Promise<void> {
    if (set.isOver) return
    if (!this.#wouldHelp(probe)) return this.#endSet(set)
    const port = probe.node.stunPort ?? STUN_PORT
    const address = port < 0 ? undefined : await this.#addressOf(probe)
    // A set without an address stays open: clients wait for it until the time is over.
    if (address === undefined || set.isOver) return
    const transactionId = randomBytes(TRANSACTION_ID_BYTES)
    this.#sent.set(toHex(transactionId), { probe, set, sentMs: performance.now() })
    this.#sockets[probe.family].send(bindingRequest(transactionId), port, address, (error) => {
      if (error !== null) this.#noteError(probe.family, error)
    })
  }

  /** A region that has answered is asked again only for what clients want to know besides. */
  #wouldHelp({ region, family }: StunProbe): boolean {
    if (!this.#latencyNs[4].has(region) && !this.#latencyNs[6].has(region)) return true
    // Whether IPv6 works at all; and two answers over IPv4, to see what kind of NAT there is.
    return family === 6 ? this.#latencyNs[6].size === 0 : this.#ipv4Answers < 2
  }

  async #addressOf({ node, family }: StunProbe): Promise<string | undefined> {
    const given = node.stunTestIp ?? addressIn(node, family)
    if (given !== undefined) return isIP(given) === family ? given : undefined
    const all = await this.#lookUp(node)
    return all.find((one) => one.family === family)?.address
  }

  #lookUp({ hostname }: MapNode): Promise<readonly { readonly family: number; readonly address: string }[]> {
    const known = this.#names.get(hostname)
    if (known !== undefined) return known
    const asked = lookup(hostname, { all: true }).catch(() => [])
    this.#names.set(hostname, asked)
    return asked
  }

  #onAnswer(message: Buffer): void {
    const nowMs = performance.now()
    const answer = readBindingAnswer(message)
    const key = answer === undefined ? '' : toHex(answer.transactionId)
    const sent = this.#sent.get(key)
    if (answer === undefined || sent === undefined) return
    this.#sent.delete(key)
    const { probe, set, sentMs } = sent
    const ns = Math.max(1, Math.round((nowMs - sentMs) * NS_PER_MS))
    // Clients count an answer by the family of the address that it tells.
    const seen: Family = isMappedIpv4(answer.ip) ? 4 : 6
    const latencies = this.#latencyNs[seen]
    latencies.set(probe.region, Math.min(ns, latencies.get(probe.region) ?? ns))
    const text = ipToText(answer.ip)
    this.#publicAddress[seen] = seen === 6 ? `[${text}]:${answer.port}` : `${text}:${answer.port}`
    if (seen === 4) this.#ipv4Answers++
    this.#endWhenEnough()
    this.#endSet(set)
  }

  #endWhenEnough(): void {
    const all = new Set([...this.#latencyNs[4].keys(), ...this.#latencyNs[6].keys()])
    if (all.size !== REGIONS_ENOUGH || this.#enough !== undefined) return
    const slowest = Math.max(...[...all].map((region) => this.#bestNs(region)))
    const waitMs = (ENOUGH_FACTOR * slowest) / NS_PER_MS
    this.#enough = setTimeout(() => this.#over.resolve('enough'), waitMs)
  }

  #bestNs(region: number): number {
    const [v4 = Infinity, v6 = Infinity] = [this.#latencyNs[4].get(region), this.#latencyNs[6].get(region)]
    return Math.min(v4, v6)
  }

  #endSet(set: RunningSet): void {
    if (set.isOver) return
    set.isOver = true
    for (const timer of set.timers) clearTimeout(timer)
    if (--this.#openSets === 0) this.#over.resolve('all')
  }

  #noteError(family: Family, error: Error): void {
    this.#sendError[family] = 'code' in error ? String(error.code) : error.message
  }
}

/** Its requests go to addresses only, so it needs no lookup, which would delay them. */
function newSocket(family: Family): Socket {
  return createSocket({
    type: family === 4 ? 'udp4' : 'udp6',
    lookup: (address, _options, found) => found(null, address, family),
  })
}

// The relay's UDP port for stock WireGuard peers: what becomes of each datagram. A member is known by the address at which it has
// proven its key (registrar.ts). Handshakes between members are told apart by their MAC, which is tried for each link of the sender;
// everything after them by the session index that its receiver chose. The lane sees no more than that: it cannot open what it
// forwards. A member that is not here is reached through the relay's threads, and through the mesh. This is a packet path:
// synchronous, bounded, no exceptions. No sockets, and no clock: both are passed in. The name keeps it apart from an outbox's lanes.
//
// Contract: a datagram causes at most one other. Nothing is broadcast, and nobody moves a member but by the member's own key.

import { readU32 } from '#protocol/bytes.ts'
import type { Roster } from '#protocol/lane-roster.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { keyName } from '#protocol/node-key.ts'
import type { OtherThreads } from '#relay/ports.ts'
import { HandshakeBudget } from './handshake-budget.ts'
import { IndexRoutes } from './index-routes.ts'
import type { LaneCounters } from './lane-counters.ts'
import { LaneMemory, PROVEN_MS_MAX } from './lane-memory.ts'
import { CookieChecker } from './macs.ts'
import type { Link, Member, UdpAddress } from './member.ts'
import { Members } from './members.ts'
import { INITIATION_MAC1_AT, MessageType, messageType, receiverIndex, senderIndex } from './messages.ts'
import type { StaticKey } from './noise.ts'
import { Registrar } from './registrar.ts'
import { RelaySide } from './relay-side.ts'

/** Three keepalives of a peer with the usual PersistentKeepalive of 25 s are missing: it is asked. */
const SILENT_MS = 80_000
const ASK_EVERY_MS = 10_000
/** Two keepalives of a peer are missing that is connected by DERP as well: it is reached there. */
const MISSED_MS = 60_000
/** After a restart, members are asked to prove again where they are, one after another. */
const RESTORE_PROBE_MS = 2

export interface WireguardLaneParts {
  readonly own: StaticKey
  readonly counters: LaneCounters
  readonly threads: OtherThreads
  /** Sends a datagram, or drops and counts it. */
  readonly send: (message: Buffer, host: string, port: number) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** The Unix time. */
  readonly wallMs: () => number
  /** That many random bytes. */
  readonly random: (bytes: number) => Uint8Array
  readonly later: (delayMs: number, callback: () => void) => void
  /** Asks for one call of `endTurn` when the current turn of the loop has been read. */
  readonly endTurnLater: () => void
  /** What a restart must know has changed. */
  readonly onChange: () => void
  /** A member has come to the lane or left it. */
  readonly onHome: (key: Uint8Array, isHome: boolean) => void
}

export class WireguardLane {
  readonly #parts: WireguardLaneParts
  readonly #members: Members
  readonly #routes = new IndexRoutes()
  readonly #budget: HandshakeBudget
  readonly #registrar: Registrar
  readonly #relay: RelaySide
  readonly #memory: LaneMemory
  /** By key name: until when an operator has refused it. The control thread bounds them. */
  readonly #refused = new Map<string, number>()

  constructor(parts: WireguardLaneParts) {
    this.#parts = parts
    const { own, random, now, wallMs, counters, threads, onChange } = parts
    const seed = readU32(random(4), 0)
    this.#members = new Members(seed)
    this.#budget = new HandshakeBudget(now())
    this.#memory = new LaneMemory({ own: own.publicKey, members: this.#members, routes: this.#routes })
    this.#registrar = new Registrar({
      own,
      counters,
      random,
      wallMs,
      onChange,
      budget: this.#budget,
      cookies: new CookieChecker(own.publicKey, random),
      findMember: (key) => this.#members.find(key, 0),
      send: (message, to) => this.#sendTo(message, to),
      onProven: (member, address) => this.#place(member, address),
    })
    this.#relay = new RelaySide({
      threads,
      seed,
      membersHere: () => this.membersHere,
      onPacket: (buffer, start, end) => this.#fromRelay(buffer, start, end),
      onLost: () => counters.add('dropThreadQueue'),
      onElsewhere: (key, elsewhere) => {
        const member = this.#members.find(key, 0)
        if (member !== undefined) member.elsewhere = elsewhere
      },
      onClose: (key) => this.#close(key),
      wake: parts.endTurnLater,
    })
  }

  // ── what the control thread says ──

  /** Who may use the lane from now on. Members that stay keep their sessions. */
  useRoster(roster: Roster): void {
    const nowMs = this.#parts.now()
    for (const member of this.#members.use(roster, nowMs)) {
      this.#registrar.forget(member)
      this.#unplace(member)
    }
    for (const member of this.#members.all) {
      member.elsewhere = this.#relay.find(member.key)
      member.refusedUntilMs = this.#refused.get(keyName(member.key)) ?? 0
    }
    this.#routes.sweep(nowMs)
    this.#parts.onChange()
  }

  /** What an earlier run knew, from its `stateText`. Members are asked at once whether they are still there. */
  restore(text: string): void {
    const { now, wallMs, later } = this.#parts
    const placed = this.#memory.restore(text, { nowMs: now(), wallMs: wallMs() })
    for (const [n, { member, address, provenAtMs }] of placed.entries()) {
      if (member.isRefused(now())) continue
      this.#place(member, address)
      member.provenAtMs = provenAtMs
      later(n * RESTORE_PROBE_MS, () => {
        if (member.address !== undefined) this.#registrar.probe(member, member.address, now())
      })
    }
  }

  /** What a restart must know. */
  stateText(): string {
    return this.#memory.text({ nowMs: this.#parts.now(), wallMs: this.#parts.wallMs() })
  }

  /** Takes a key off the lane and refuses it for so long, now or when the roster gets it. 0: it may come back. */
  refuse(key: Uint8Array, forMs: number): void {
    const untilMs = this.#parts.now() + forMs
    if (forMs > 0) this.#refused.set(keyName(key), untilMs)
    else this.#refused.delete(keyName(key))
    const member = this.#members.find(key, 0)
    if (member !== undefined) member.refusedUntilMs = untilMs
    this.#close(key)
  }

  #close(key: Uint8Array): void {
    const member = this.#members.find(key, 0)
    if (member?.address === undefined) return
    this.#registrar.forget(member)
    this.#unplace(member)
  }

  get members(): readonly Member[] {
    return this.#members.all
  }

  get membersHere(): readonly Member[] {
    return this.#members.all.filter(({ address }) => address !== undefined)
  }

  // ── datagrams ──

  receive(message: Buffer, host: string, port: number): void {
    const { counters, now } = this.#parts
    counters.add('receivedPackets')
    counters.add('receivedBytes', message.length)
    const type = messageType(message)
    if (type === undefined) return counters.add('dropMalformed')
    const sender = this.#members.at(host, port)
    const nowMs = now()
    if (type === MessageType.initiation) return this.#onInitiation(message, { host, port }, sender, nowMs)
    const index = receiverIndex(message, type)
    if (this.#registrar.has(index) && this.#registrar.take(type, message, { host, port }, nowMs)) return
    if (sender === undefined) return this.#fromUnknown(message, index, { host, port }, nowMs)
    const route = this.#routes.find(index, sender)
    if (route === undefined) return counters.add('dropUnknownIndex')
    route.usedAtMs = nowMs
    if (type === MessageType.response) this.#note(message, sender, route.link.owner, nowMs)
    this.#fromMember(message, sender, route.link.owner, nowMs)
  }

  /** To be called once per turn. Returns whether something waits for room at a thread of the relay. */
  endTurn(): boolean {
    return this.#relay.endTurn()
  }

  readThreads(): void {
    this.#relay.readThreads()
  }

  /** Does what is due by time; to be called about every second. */
  sweep(): void {
    const { counters, now } = this.#parts
    const nowMs = now()
    this.#registrar.sweep(nowMs)
    this.#routes.sweep(nowMs)
    this.#budget.sweep(nowMs)
    for (const [name, untilMs] of this.#refused) if (untilMs <= nowMs) this.#refused.delete(name)
    const here = this.membersHere
    for (const member of here) this.#look(member, nowMs)
    counters.set('membersKnown', this.#members.all.length)
    counters.set('membersHere', here.length)
    counters.set('routes', this.#routes.size)
  }

  #onInitiation(message: Buffer, from: UdpAddress, sender: Member | undefined, nowMs: number): void {
    const { counters } = this.#parts
    if (this.#registrar.isForLane(message)) return this.#registrar.onInitiation(message, from, sender, nowMs)
    // A peer that is not registered yet repeats it in five seconds.
    if (sender === undefined) return counters.add('dropStranger')
    if (!sender.initiations.tryTake(1, nowMs)) return counters.add('dropRate')
    for (const peer of sender.links.keys()) {
      if (!peer.mac1.matches(message, INITIATION_MAC1_AT)) continue
      this.#note(message, sender, peer, nowMs)
      return this.#fromMember(message, sender, peer, nowMs)
    }
    counters.add('dropNoLink')
  }

  /**
   * From an address where nobody is. With an index that somebody here expects, it is most likely a member that has moved: it is
   * forwarded, one to one, and the member is asked whether it is there.
   */
  #fromUnknown(message: Buffer, index: number, from: UdpAddress, nowMs: number): void {
    const { counters } = this.#parts
    const route = this.#routes.only(index)
    if (route === undefined) return counters.add('dropStranger')
    const { owner, peer } = route.link
    if (peer.address === undefined || !peer.unproven.tryTake(1, nowMs)) return counters.add('dropUnproven')
    this.#registrar.probe(peer, from, nowMs)
    this.#forward(message, peer, owner)
  }

  /** A packet from the relay: destination key, source key and packet at [start, end), borrowed. */
  #fromRelay(buffer: Buffer, start: number, end: number): void {
    const { counters, now } = this.#parts
    counters.add('receivedFromRelay')
    const to = this.#members.find(buffer, start)
    const from = this.#members.find(buffer, start + KEY_BYTES)
    // Sent on, it could come back: a packet crosses between threads once.
    if (to?.address === undefined) return counters.add('dropNotHere')
    if (from === undefined || !from.links.has(to)) return counters.add('dropNoLink')
    const message = Buffer.from(buffer.subarray(start + 2 * KEY_BYTES, end))
    const type = messageType(message)
    if (type === undefined) return counters.add('dropMalformed')
    if (type === MessageType.initiation || type === MessageType.response) this.#note(message, from, to, now())
    from.isByRelay = true
    this.#sendToMember(message, to.address)
  }

  /** `owner` begins or answers a handshake with `peer`, which sends by that index from now on. */
  #note(message: Buffer, owner: Member, peer: Member, nowMs: number): void {
    const link: Link | undefined = owner.links.get(peer)
    if (link !== undefined && this.#routes.note(senderIndex(message), link, nowMs)) this.#parts.onChange()
  }

  /** From where the member is proven to be. If its packets came by DERP until now, this may be the way again: it is asked. */
  #fromMember(message: Buffer, sender: Member, to: Member, nowMs: number): void {
    if (!sender.isReachedHere && sender.address !== undefined)
      this.#registrar.probe(sender, sender.address, nowMs)
    this.#forward(message, sender, to)
  }

  #forward(message: Buffer, from: Member, to: Member): void {
    const { counters } = this.#parts
    if (to.address !== undefined && to.isReachedHere) return this.#sendToMember(message, to.address)
    if (this.#relay.send(to, from, message)) counters.add('sentToRelay')
    else counters.add('dropThreadQueue')
  }

  #sendToMember(message: Buffer, to: UdpAddress): void {
    const { counters } = this.#parts
    counters.add('sentToPeers')
    counters.add('sentToPeersBytes', message.length)
    this.#sendTo(message, to)
  }

  #sendTo(message: Buffer, { host, port }: UdpAddress): void {
    this.#parts.send(message, host, port)
  }

  // ── members come and go ──

  #place(member: Member, address: UdpAddress): void {
    const { counters, now, onChange, onHome } = this.#parts
    const isNew = member.address === undefined
    const wasActiveHere = member.isActiveHere
    member.isByRelay = false
    if (!isNew && member.isAt(address.host, address.port)) {
      if (!wasActiveHere) this.#relay.announce(member, false)
      return
    }
    if (!isNew) counters.add('moves')
    const displaced = this.#members.place(member, address)
    if (displaced !== undefined) this.#left(displaced)
    member.provenAtMs = now()
    this.#relay.announce(member, isNew)
    if (isNew) onHome(member.key, true)
    onChange()
  }

  #unplace(member: Member): void {
    if (member.address === undefined) return
    this.#members.place(member, undefined)
    this.#left(member)
  }

  #left(member: Member): void {
    this.#relay.withdraw(member.key)
    this.#parts.onHome(member.key, false)
    this.#parts.onChange()
  }

  /** A member that is silent is asked, and is not here any more if it does not answer. */
  #look(member: Member, nowMs: number): void {
    const silentMs = nowMs - member.provenAtMs
    if (silentMs > MISSED_MS) member.isByRelay = true
    if (silentMs > PROVEN_MS_MAX) {
      this.#parts.counters.add('expired')
      this.#unplace(member)
    } else if (
      silentMs > SILENT_MS &&
      member.address !== undefined &&
      nowMs > member.probedAtMs + ASK_EVERY_MS
    ) {
      this.#registrar.probe(member, member.address, nowMs)
    }
  }
}

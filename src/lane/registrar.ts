// Where members are, proven by WireGuard's own handshake: the lane is one more peer of theirs. As the responder it answers members
// that begin; as the initiator it probes the address that a member's packets suddenly come from. A member is placed at an address
// when it has completed a handshake from there, which takes a round trip: nothing that was sent earlier, or from elsewhere,
// completes one. Knows no packets between members.
//
// Contract: nothing is sent to who has not shown that it knows the lane's key (mac1), and nothing but a cookie, under load, to who
// has no key of the roster.

import { INITIATION_MAC1_AT, RESPONSE_MAC1_AT, receiverIndex, MessageType, senderIndex } from './messages.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { concatBytes } from '#protocol/bytes.ts'
import type { HandshakeBudget } from './handshake-budget.ts'
import type { LaneCounters } from './lane-counters.ts'
import { type CookieChecker, mac1Of } from './macs.ts'
import type { Member, UdpAddress } from './member.ts'
import {
  initiate,
  keepalive,
  openKeepalive,
  proveInitiation,
  type ReadInitiation,
  readInitiation,
  readResponse,
  respond,
  type SentInitiation,
  type StaticKey,
  type TransportKeys,
} from './noise.ts'
import { newerTimestamp, timestampAt } from './tai64n.ts'

/** WireGuard's own limit. */
const SESSION_MS_MAX = 180_000
/** A peer that answers does so at once; a lost datagram is repeated after this. */
const HANDSHAKE_MS_MAX = 5_000
/** Beyond this, packets that were not sent by now were made up. */
const SESSIONS_MAX_PER_MEMBER = 8

/** A handshake of the lane with a member, and the session that follows. */
interface LaneSession {
  readonly index: number
  readonly member: Member
  /** Where the handshake's messages of this side went. */
  readonly address: UdpAddress
  readonly beganAtMs: number
  /** Undefined until the response to a probe has been read. */
  keys: TransportKeys | undefined
  /** Undefined unless it is a probe that waits. */
  sent: SentInitiation | undefined
  /** The member has shown that it has the keys. */
  isUp: boolean
  /** Of the last keepalive that was read. */
  counter: number
}

export interface RegistrarParts {
  readonly own: StaticKey
  readonly counters: LaneCounters
  readonly budget: HandshakeBudget
  readonly cookies: CookieChecker
  readonly findMember: (key: Uint8Array) => Member | undefined
  /** That many random bytes. */
  readonly random: (bytes: number) => Uint8Array
  /** The Unix time. */
  readonly wallMs: () => number
  readonly send: (message: Buffer, to: UdpAddress) => void
  /** The member is at that address; it may have been there before. */
  readonly onProven: (member: Member, address: UdpAddress) => void
  /** Something has changed that a restart must know. */
  readonly onChange: () => void
}

export class Registrar {
  readonly #parts: RegistrarParts
  readonly #mac1: ReturnType<typeof mac1Of>
  readonly #sessions = new Map<number, LaneSession>()
  readonly #byMember = new Map<Member, LaneSession[]>()
  /** Of the last initiation that was sent: each is later than the one before. */
  #lastSentMs = 0

  constructor(parts: RegistrarParts) {
    this.#parts = parts
    this.#mac1 = mac1Of(parts.own.publicKey)
  }

  /** Whether an initiation is meant for the lane itself. */
  isForLane(initiation: Uint8Array): boolean {
    return this.#mac1.matches(initiation, INITIATION_MAC1_AT)
  }

  /** An initiation for the lane. @param sender the member that is proven to be at its address */
  onInitiation(message: Buffer, from: UdpAddress, sender: Member | undefined, nowMs: number): void {
    const { counters } = this.#parts
    // A stranger's share is not taken from a member whose address is known, nor the other way round.
    if (sender === undefined && !this.#isWithinBudget(message, from, nowMs)) return
    if (sender?.handshakes.tryTake(1, nowMs) === false) return counters.add('handshakesOverBudget')
    const read = readInitiation(this.#parts.own, message)
    if (read === undefined) return counters.add('handshakesInvalid')
    const member = this.#parts.findMember(read.staticKey)
    if (member === undefined) return counters.add('handshakesUnknownKey')
    if (member.isRefused(nowMs)) return counters.add('handshakesRefused')
    if (sender !== member && !member.handshakes.tryTake(1, nowMs)) return counters.add('handshakesOverBudget')
    this.#answer(read, member, from, nowMs)
  }

  /**
   * A message with a receiver's index that may be one of the lane's. Returns false if it is not: then it is for another member.
   */
  take(type: MessageType, message: Buffer, from: UdpAddress, nowMs: number): boolean {
    const session = this.#sessions.get(receiverIndex(message, type))
    if (session === undefined) return false
    if (type === MessageType.response) return this.#onResponse(session, message, from, nowMs)
    if (type === MessageType.cookie) {
      if (session.sent !== undefined) session.member.macs.takeCookie(message, nowMs)
      return true
    }
    return this.#onKeepalive(session, message, from, nowMs)
  }

  /** Whether a session of the lane has that index: asked before an address is made of strings. */
  has(index: number): boolean {
    return this.#sessions.has(index)
  }

  /** Asks the member to prove that it is at that address; about once a second at most. */
  probe(member: Member, address: UdpAddress, nowMs: number): void {
    if (!member.probes.tryTake(1, nowMs)) return
    member.probedAtMs = nowMs
    const { own, random, send, counters, wallMs } = this.#parts
    const shared = this.#sharedWith(member)
    if (shared === undefined) return
    this.#lastSentMs = Math.max(wallMs(), this.#lastSentMs + 1)
    const index = this.#freeIndex()
    const made = initiate(
      own,
      { publicKey: member.key, shared },
      { index, timestamp: timestampAt(this.#lastSentMs), ephemeralKey: random(32) },
    )
    if (made === undefined) return
    member.macs.write(made.message, INITIATION_MAC1_AT, nowMs)
    this.#add({ ...newSession(index, member, address, nowMs), sent: made.sent })
    counters.add('probesSent')
    send(made.message, address)
  }

  /** The member has left the roster. */
  forget(member: Member): void {
    for (const session of this.#byMember.get(member) ?? []) this.#sessions.delete(session.index)
    this.#byMember.delete(member)
  }

  /** Ends sessions that are too old, and handshakes without an answer. */
  sweep(nowMs: number): void {
    for (const session of this.#sessions.values()) {
      if (nowMs - session.beganAtMs > (session.isUp ? SESSION_MS_MAX : HANDSHAKE_MS_MAX)) this.#end(session)
    }
  }

  #isWithinBudget(message: Buffer, from: UdpAddress, nowMs: number): boolean {
    const { budget, cookies, counters, send } = this.#parts
    const verdict = budget.take(from, nowMs, () => cookies.hasCookie(message, addressBytes(from), nowMs))
    if (verdict === 'answer') return true
    if (verdict === 'ask') {
      counters.add('handshakesAskedForCookie')
      send(cookies.reply(message, addressBytes(from), nowMs), from)
    } else {
      counters.add('handshakesOverBudget')
    }
    return false
  }

  #answer(read: ReadInitiation, member: Member, from: UdpAddress, nowMs: number): void {
    const { counters, random, send, onChange } = this.#parts
    const shared = this.#sharedWith(member)
    const proven = shared && proveInitiation(read, shared)
    if (proven === undefined) return counters.add('handshakesInvalid')
    if (!newerTimestamp(proven.timestamp, member.timestamp)) return counters.add('handshakesReplayed')
    const index = this.#freeIndex()
    const response = respond(proven, index, random(32))
    if (response === undefined) return counters.add('handshakesInvalid')
    member.timestamp = proven.timestamp
    onChange()
    member.macs.write(response.message, RESPONSE_MAC1_AT, nowMs)
    this.#add({ ...newSession(index, member, from, nowMs), keys: response.keys })
    counters.add('handshakesAnswered')
    send(response.message, from)
  }

  #onResponse(session: LaneSession, message: Buffer, from: UdpAddress, nowMs: number): boolean {
    const { sent, member, address } = session
    if (sent === undefined || !this.#mac1.matches(message, RESPONSE_MAC1_AT)) return false
    // An answer from another address than the one that was asked proves neither.
    if (from.port !== address.port || from.host !== address.host) return true
    const keys = readResponse(sent, message)
    if (keys === undefined) return false
    session.sent = undefined
    session.keys = keys
    session.isUp = true
    this.#parts.counters.add('probesAnswered')
    // The member uses the session when it has received something by it.
    this.#parts.send(keepalive(keys, senderIndex(message), 0), address)
    this.#proven(member, address, nowMs)
    return true
  }

  /** A session's keepalive. Members send nothing else to the lane: no address is routed to it. */
  #onKeepalive(session: LaneSession, message: Buffer, from: UdpAddress, nowMs: number): boolean {
    const { keys, member, address } = session
    if (keys === undefined) return false
    const counter = openKeepalive(keys, message)
    if (counter === undefined || counter <= session.counter) return counter !== undefined
    session.counter = counter
    const isAsBefore = from.port === address.port && from.host === address.host
    if (!session.isUp && isAsBefore) {
      session.isUp = true
      this.#parts.counters.add('handshakesProven')
      this.#proven(member, address, nowMs)
    } else if (session.isUp && member.isAt(from.host, from.port)) {
      member.provenAtMs = nowMs
      // It shows the way to here; an answer shows the way back as well, before packets leave the other one.
      if (!member.isActiveHere) this.probe(member, from, nowMs)
    } else {
      // It was sealed by the member, but whoever holds it back could send it from anywhere.
      this.probe(member, from, nowMs)
    }
    return true
  }

  #proven(member: Member, address: UdpAddress, nowMs: number): void {
    member.provenAtMs = nowMs
    this.#parts.onProven(member, address)
  }

  #sharedWith(member: Member): Uint8Array | undefined {
    member.shared ??= this.#parts.own.secret.agree(member.key)
    return member.shared
  }

  #freeIndex(): number {
    for (;;) {
      const index = Buffer.from(this.#parts.random(4)).readUInt32LE()
      if (!this.#sessions.has(index)) return index
    }
  }

  #add(session: LaneSession): void {
    const { member } = session
    const sessions = this.#byMember.get(member) ?? []
    this.#byMember.set(member, sessions)
    const [oldest] = sessions
    if (sessions.length >= SESSIONS_MAX_PER_MEMBER && oldest !== undefined) this.#end(oldest)
    sessions.push(session)
    this.#sessions.set(session.index, session)
  }

  #end(session: LaneSession): void {
    this.#sessions.delete(session.index)
    const sessions = this.#byMember.get(session.member)
    sessions?.splice(sessions.indexOf(session), 1)
    if (sessions?.length === 0) this.#byMember.delete(session.member)
  }
}

function newSession(index: number, member: Member, address: UdpAddress, nowMs: number): LaneSession {
  return {
    index,
    member,
    address,
    beganAtMs: nowMs,
    keys: undefined,
    sent: undefined,
    isUp: false,
    counter: -1,
  }
}

function addressBytes({ host, port }: UdpAddress): Uint8Array {
  return concatBytes(ipToBytes(host), new Uint8Array([port >> 8, port]))
}

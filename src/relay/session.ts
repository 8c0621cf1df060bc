// A link that is proving, or has proven, a node key: login, then frames in and frames out until either side ends. Login
// is `session-login.ts`, limits are `session-limits.ts`; the route of a packet is `forward.ts`, the keys that are here
// `peer-registry.ts`, the frames that wait to leave `outbox.ts`. Synchronous but for admission.
//
// Contract: however a session ends, it ends in `end`, once, and everything that it held is given back there.

import { FrameAction } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { KEEP_ALIVE_FRAME, MESH_KEY_REFUSED_FRAME, pongFrame, restartingFrame } from '#protocol/frames.ts'
import type { Budget } from '#protocol/budget.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import type { ClientIdentity } from './client-identity.ts'
import { Counter } from './counters.ts'
import { EndReason, NOT_READING } from './end-reason.ts'
import type { PacketSender } from './forward.ts'
import { judgeFrame, type FrameRule } from './frame-rules.ts'
import { FRAME_BYTES_MAX_WHEN_SPENT } from './memory-budget.ts'
import { Outbox, type PacketTaker } from './outbox.ts'
import type { Peer } from './peer.ts'
import type { AddressedPacket, Flushable, Link, LinkListener } from './ports.ts'
import type { PacketSources, Recipient } from './recipient.ts'
import { countEndOfDrain, type DrainedSession } from './relay-drain.ts'
import type { SessionContext } from './session-context.ts'
import { SessionInput, type InputOwner } from './session-input.ts'
import { LOGIN_TIMEOUT_MS, SessionUsage } from './session-limits.ts'
import type { ListedSession } from './session-list.ts'
import {
  judgeLogin,
  reasonFor,
  SessionLogin,
  type ConnectionStart,
  type LoginOwner,
} from './session-login.ts'

/** Until ClientInfo has arrived, until the client is admitted, until the session ends, and afterwards. */
const Phase = { awaitingLogin: 0, admitting: 1, established: 2, ended: 3 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

const NO_BYTES = new Uint8Array(0)
/** To a client that a drain moves: reconnect at once, and elsewhere. */
const MOVE_FRAME = restartingFrame(0, 0)

export class Session
  implements
    LinkListener,
    InputOwner,
    LoginOwner,
    PacketSender,
    Recipient,
    ListedSession,
    Flushable,
    PacketTaker,
    DrainedSession
{
  readonly #link: Link
  readonly #context: SessionContext
  readonly acceptedMs: number
  /** Undefined from the login on. */
  #login: SessionLogin | undefined
  /** What it has logged in as; undefined before. */
  identity: ClientIdentity | undefined = undefined
  peer: Peer | undefined = undefined
  #usage: SessionUsage | undefined = undefined
  // Inbound side
  readonly #input: SessionInput
  #phase: Phase = Phase.awaitingLogin
  rejection: EndReason = EndReason.remoteClosed
  isShared = false
  activity = 0
  lastDestination: Peer | undefined = undefined
  packetSources: PacketSources | undefined = undefined
  listedAt = 0
  /** Of its client; bytes are payload bytes. */
  receivedPackets = 0
  receivedBytes = 0
  // Outbound side
  readonly outbox: Outbox
  #isFlushDue = false
  #hasPong = false
  /** A drain moves this client: nothing new is sent to it. */
  #isLeaving = false
  /** It has been sent everything, and this side's end. */
  #isFinished = false

  constructor(link: Link, start: ConnectionStart, context: SessionContext) {
    this.#link = link
    this.#context = context
    this.acceptedMs = context.now()
    this.#login = new SessionLogin(this, link, start, context)
    this.#input = new SessionInput(this, link, context)
    this.outbox = Outbox.forClient(context)
    context.counters.add(Counter.connectionsCurrent, 1)
    this.tell(start.firstBytes)
  }

  /** The proven key; empty before login. */
  get key(): Uint8Array {
    return this.identity?.key ?? NO_BYTES
  }

  get presentFrame(): Uint8Array {
    return this.identity?.presentFrame ?? NO_BYTES
  }

  get isMesh(): boolean {
    return this.identity?.isMesh === true
  }

  get isHome(): boolean {
    return this.identity?.isHome === true
  }

  get wantsHomesOnly(): boolean {
    return this.identity?.wantsHomesOnly === true
  }

  get holdsPackets(): boolean {
    return this.identity?.wantsInstance === true
  }

  /** Its connection: what is told of it to operators, and how it is read. */
  get wire(): Pick<Link, 'readInTurn' | 'receivedBytes' | 'sentBytes' | 'roundTripSeconds' | 'isWebSocket'> {
    return this.#link
  }

  get isAdmitting(): boolean {
    return this.#phase === Phase.admitting
  }

  get isEstablished(): boolean {
    return this.#phase === Phase.established
  }

  get isEnded(): boolean {
    return this.#phase === Phase.ended
  }

  get remote(): Link['remote'] {
    return this.#link.remote
  }

  // ── inbound ──

  receive(chunk: Buffer, start: number, end: number): void {
    if (!this.isEnded) this.#input.receive(chunk, start, end)
  }

  onHeader(type: number, payloadBytes: number): FrameAction {
    if (this.#phase !== Phase.established) {
      return this.#judge(judgeLogin(type, payloadBytes, this.#context.memoryBudget))
    }
    if (this.isShared) this.#context.registry.noteActivity(this, this.peer as Peer)
    const usage = this.#usage
    if (usage?.isRateLimited === true)
      this.#input.pauseForRate(usage.charge(payloadBytes, this.#context.now()))
    return this.#judge(judgeFrame(type, payloadBytes, this.isMesh))
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (type === FrameType.sendPacket) {
      this.receivedPackets++
      this.receivedBytes += end - start - KEY_BYTES
      this.#context.forwarder.fromClient(this, buffer, start, end)
    } else if (this.#phase === Phase.awaitingLogin) {
      this.#phase = Phase.admitting
      this.#login?.begin(buffer.subarray(start, end))
    } else {
      this.#onControl(type, buffer, start, end)
    }
    return this.#phase === Phase.established && !this.#input.isThrottled
  }

  /** A rejected frame ends the session when the frame reader has returned. */
  #judge(rule: FrameRule | EndReason): FrameAction {
    if (rule === 'accept') return FrameAction.accept
    if (rule === 'skip') {
      this.#context.counters.add(Counter.unknownFrames, 1)
      return FrameAction.skip
    }
    this.rejection = rule === ProtocolError.notPrivileged ? reasonFor(this.identity, rule) : rule
    return FrameAction.reject
  }

  #onControl(type: number, buffer: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.ping:
        return this.#onPing(buffer.subarray(start, end))
      case FrameType.notePreferred:
        return this.#noteHome(buffer[start] !== 0)
      case FrameType.forwardPacket:
        this.receivedPackets++
        this.receivedBytes += end - start - 2 * KEY_BYTES
        return this.#context.forwarder.fromSibling(this, buffer, start, end)
      case FrameType.watchConns:
        return this.#context.registry.watch(this)
      case FrameType.closePeer:
        return this.#context.registry.closePeer(this.key, new Uint8Array(buffer.subarray(start, end)))
      case FrameType.relayState:
        return this.#onRelayState(buffer.subarray(start, end))
    }
  }

  /** At most one pong waits; pings that come meanwhile are not answered, as with derper. */
  #onPing(payload: Uint8Array): void {
    this.#context.counters.add(Counter.pingsReceived, 1)
    if (this.#hasPong) return
    this.#hasPong = true
    this.#context.counters.add(Counter.pongsSent, 1)
    this.tell(pongFrame(payload))
  }

  #onRelayState(state: Uint8Array): void {
    const { counters, observer, now } = this.#context
    if (this.#usage?.mayTellState(now()) === true) observer.relayState(this.key, state)
    else counters.add(Counter.relayStatesRefused, 1)
  }

  #noteHome(isHome: boolean): void {
    const { counters, registry, now } = this.#context
    const isChanged = this.identity?.noteHome(isHome, now() - this.acceptedMs, counters)
    if (isChanged === true) registry.noteHome(this.peer as Peer)
  }

  pauseUntil(arrange: (resume: () => void) => void): void {
    this.#input.pauseUntil(arrange)
  }

  establish(): void {
    const { limits, now, random } = this.#context
    this.#login = undefined
    this.#phase = Phase.established
    this.#usage = new SessionUsage(limits, this.isMesh, now(), random(1)[0] ?? 0)
    this.#useShares()
    if (this.isMesh) this.#link.becomeTrunk()
  }

  resume(): void {
    this.#input.admitted()
  }

  limitsChanged(nowMs: number): void {
    if (this.#usage?.setLimits(this.#context.limits, nowMs) === true) this.#input.endRatePause()
    this.#useShares()
    this.#context.sessions.markDue(this)
  }

  useBudget(own: Budget | undefined): void {
    if (this.#usage !== undefined) this.#usage.ownBudget = own
    this.#useShares()
  }

  #useShares(): void {
    const usage = this.#usage
    if (usage === undefined) return
    usage.countSent(this.outbox.tally)
    if (!this.isMesh && usage.share(this.#context.tenants, this.key, this.peer)) this.#input.endRatePause()
    this.#link.readAs(usage.tenant)
  }

  // ── outbound ──

  tell(frame: Uint8Array): void {
    if (this.isEnded || this.#isFinished) return
    if (!this.outbox.offerControl(frame, this.#context.now())) return this.end(EndReason.controlOverflow)
    if (!this.#isFlushDue) this.#flushAtEndOfTurn()
  }

  deliver(packet: AddressedPacket, nowMs: number): void {
    this.outbox.offerPacket(packet, nowMs)
    if (!this.#isFlushDue) this.#flushAtEndOfTurn()
  }

  #flushAtEndOfTurn(): void {
    this.#isFlushDue = true
    this.#context.flushQueue.add(this)
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.isEnded || this.outbox.writingSinceMs !== undefined) return
    this.#hasPong = false
    this.#context.sessions.markDue(this)
    this.outbox.flush(this.#link, this.#context.now())
    if (this.#isLeaving && this.outbox.isEmpty) this.#finish()
  }

  written(): void {
    this.outbox.written()
    this.flush()
  }

  mayBeToldNotHere(nowMs: number): boolean {
    return this.#usage?.mayBeToldNotHere(nowMs) === true
  }

  mayLookUp(nowMs: number): boolean {
    return this.#usage?.mayLookUp(nowMs) === true
  }

  // ── drain ──

  announceLeaving(): void {
    if (this.peer !== undefined) this.#context.registry.announceLeaving(this.peer)
  }

  /** The client is gone from here as far as others are concerned; its own packets are forwarded until it ends its side. */
  leave(lastFrame: Uint8Array = MOVE_FRAME): void {
    if (!this.isEstablished || this.#isLeaving || this.peer === undefined) return
    this.tell(lastFrame)
    if (this.isEnded) return
    this.#isLeaving = true
    this.isShared = false
    this.#context.registry.unregister(this, this.peer)
  }

  #finish(): void {
    if (this.#isFinished) return
    this.#isFinished = true
    this.#link.finish()
  }

  takeFrame(buffer: Buffer, start: number, end: number): boolean {
    return this.#context.forwarder.handOver(this.key, buffer, start, end)
  }

  // ── time and end ──

  /** Siblings are spared: they are few, and carry the packets of many clients. */
  freeMemory(): void {
    this.outbox.shrink()
    const { keptBytes } = this.#input
    if (keptBytes > FRAME_BYTES_MAX_WHEN_SPENT && this.#context.memoryBudget.isSpent && !this.isMesh) {
      this.end(EndReason.memoryShort)
    }
  }

  endIfOverdue(nowMs: number): boolean {
    if (nowMs - this.acceptedMs <= LOGIN_TIMEOUT_MS) return false
    this.end(this.#phase === Phase.awaitingLogin ? EndReason.loginTimeout : EndReason.admissionTimeout)
    return true
  }

  sweep(nowMs: number): number {
    const usage = this.#usage as SessionUsage
    usage.countSent(this.outbox.tally)
    if (usage.isWriteStalled(this.outbox.writingSinceMs, nowMs)) {
      this.#context.counters.add(Counter.writeStalls, 1)
      this.end(EndReason.writeStalled)
    } else if (usage.takeKeepAlive(nowMs)) {
      this.#context.counters.add(Counter.keepAlivesSent, 1)
      this.tell(KEEP_ALIVE_FRAME)
    }
    return this.outbox.writingSinceMs === undefined ? usage.nextKeepAliveMs : 0
  }

  /** The link has ended, so nothing reads the burst in flight any longer. */
  closed(reason: EndReason): void {
    this.end(reason)
    this.outbox.written()
  }

  end(endReason: EndReason, cause?: string): void {
    if (this.isEnded) return
    const { counters, registry, observer, sessions, handOff } = this.#context
    const { peer, identity } = this
    const isMoving = handOff.isDraining && peer !== undefined && !this.isMesh
    const reason = isMoving
      ? countEndOfDrain(counters, endReason, this.#isLeaving, this.#isFinished)
      : endReason
    this.#flushLast(reason)
    this.#phase = Phase.ended
    this.#login?.cancel()
    this.#login = undefined
    this.#input.close()
    this.lastDestination = undefined
    if (NOT_READING.has(reason)) this.#link.destroy()
    else this.#link.close()
    if (peer !== undefined && identity !== undefined) {
      if (!this.#isLeaving) registry.unregister(this, peer)
      identity.count(counters, -1)
    }
    this.#usage?.countSent(this.outbox.tally)
    this.outbox.close(isMoving ? this : undefined)
    counters.add(Counter.connectionsCurrent, -1)
    counters.countEnd(reason)
    sessions.delete(this)
    observer.sessionEnded({ reason, remote: this.#link.remote, key: identity?.key, cause })
  }

  /** A client that is refused at login gets its ServerKey all the same; only that can wait here before login. */
  #flushLast(reason: EndReason): void {
    const isLinkOver = reason === EndReason.remoteClosed || reason === EndReason.remoteReset
    const isToBeTold = reason === EndReason.meshKeyRefused && this.identity?.wantsInstance === true
    if (isToBeTold) this.outbox.offerControl(MESH_KEY_REFUSED_FRAME, this.#context.now())
    if ((this.peer === undefined && !isLinkOver) || isToBeTold) {
      this.outbox.flush(this.#link, this.#context.now())
    }
  }
}

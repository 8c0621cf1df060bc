// A link that is proving, or has proven, a node key: login, then frames in and frames out until either side
// ends. Routing is `forward.ts`, who is here `peer-registry.ts`, what waits to leave `outbox.ts`. Everything
// here is synchronous but admission; a session's one way out is `end`.

import type { BoxKey } from '#protocol/box.ts'
import { FrameReader, FrameAction, type FrameSink } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { KEEP_ALIVE_FRAME, MESH_KEY_REFUSED_FRAME, pongFrame } from '#protocol/frames.ts'
import { serverInfoFrame } from '#protocol/handshake.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import { FRAME_BYTES_MAX_WHEN_SPENT } from './memory-budget.ts'
import { Counter } from './counters.ts'
import { EndReason } from './end-reason.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { judgeFrame, type FrameRule } from './frame-rules.ts'
import { PausedInput } from './paused-input.ts'
import { readLogin } from './login.ts'
import { ClientIdentity } from './client-identity.ts'
import { Outbox } from './outbox.ts'
import type { Peer } from './peer.ts'
import type { PendingAdmission, LookupOwner, Link, LinkListener } from './ports.ts'
import {
  Allowances,
  LOGIN_TIMEOUT_MS,
  MESH_WRITE_TIMEOUT_MS,
  RATE_CHARGE_BYTES_MAX,
  drawKeepAliveMs,
} from './session-limits.ts'
import { askAdmission, EARLY_BYTES_MAX, judgeLogin, sessionStart, type Greeting } from './session-login.ts'
import type { SessionContext } from './session-context.ts'
import { TokenBucket } from './token-bucket.ts'

const Phase = { greeting: 0, admitting: 1, established: 2, ended: 3 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

export class Session implements LinkListener, FrameSink, LookupOwner {
  // Fixed at birth
  readonly #link: Link
  readonly #parts: SessionContext
  readonly #idealNode: string
  readonly #isFastStart: boolean
  readonly #bornMs: number
  readonly #keepAliveMs: number
  #asking: PendingAdmission | undefined = undefined
  // Fixed at login
  #member: ClientIdentity | undefined = undefined
  peer: Peer | undefined = undefined
  // Inbound side
  readonly #frames: FrameReader
  #phase: Phase = Phase.greeting
  #endReason: EndReason = EndReason.remoteClosed
  #held: PausedInput | undefined = undefined
  #rate: TokenBucket | undefined = undefined
  #isThrottled = false
  isShared = false
  /** When it last became the active one of its key, in the relay's common count. */
  claim = 0
  lastDestination: Peer | undefined = undefined
  /** The peers whose packets this session was given; `peer.ts` keeps it. */
  heard: Set<Peer> | undefined = undefined
  /** Where the relay has listed it. */
  listedAt = 0
  // Outbound side
  readonly outbox: Outbox
  #isFlushDue = false
  #hasPong = false
  #nextKeepAliveMs = Infinity
  #allowances: Allowances | undefined = undefined

  constructor(link: Link, greeting: Greeting, parts: SessionContext) {
    this.#link = link
    this.#parts = parts
    this.#idealNode = greeting.idealNode
    this.#isFastStart = greeting.isFastStart
    this.#bornMs = parts.now()
    this.#keepAliveMs = drawKeepAliveMs(parts.limits, parts.random(1))
    this.#frames = new FrameReader(this, parts.pool)
    this.outbox = Outbox.forClient(parts)
    parts.counters.add(Counter.connectionsCurrent, 1)
    this.tell(greeting.hello)
  }

  /** What it has logged in as; undefined before. */
  get member(): ClientIdentity | undefined {
    return this.#member
  }

  /** The proven key; empty before login. */
  get key(): Uint8Array {
    return this.#member?.key ?? new Uint8Array(0)
  }

  /** How watchers are told that it is here; nothing before login. */
  get presentFrame(): Uint8Array {
    return this.#member?.presentFrame ?? new Uint8Array(0)
  }

  get isEstablished(): boolean {
    return this.#phase === Phase.established
  }

  get remote(): Link['remote'] {
    return this.#link.remote
  }

  // ── inbound ──

  receive(chunk: Buffer, start: number, end: number): void {
    if (this.#isEnded) return
    this.#parts.counters.add(Counter.wireBytesIn, end - start)
    if (this.#held !== undefined) {
      // Paused: what the transport still had in hand joins what is held.
      if (!this.#held.add(chunk, start, end)) return this.end(EndReason.inputOverflow)
      return this.#pauseLink()
    }
    this.#read(chunk, start, end)
  }

  onHeader(type: number, payloadBytes: number): FrameAction {
    if (this.#phase !== Phase.established)
      return this.#judge(judgeLogin(type, payloadBytes, this.#parts.memoryBudget))
    if (this.isShared) this.#parts.registry.noteActivity(this, this.peer as Peer)
    if (this.#rate !== undefined) this.#charge(payloadBytes)
    return this.#judge(judgeFrame(type, payloadBytes, this.isMesh))
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (type === FrameType.sendPacket) {
      this.#parts.forwarder.fromClient(this, buffer, start, end)
    } else if (this.#phase === Phase.greeting) {
      this.#comeToLogin(buffer.subarray(start, end))
    } else {
      this.#onControl(type, buffer, start, end)
    }
    return this.#phase === Phase.established && !this.#isThrottled
  }

  #read(chunk: Buffer, start: number, end: number): void {
    // What other threads said before these bytes were sent must be known before they are read.
    this.#parts.hear()
    if (this.#isEnded) return
    const stoppedAt = this.#frames.feed(chunk, start, end)
    if (this.#isEnded) return
    if (this.#frames.isEnded) return this.end(this.#endReason)
    if (!this.#isPaused) return this.#dropHeld()
    if (this.#held === undefined) this.#held = new PausedInput(this.#parts.pool, chunk, stoppedAt, end)
    else this.#held.from = stoppedAt
    this.#pauseLink()
  }

  /** Who waits to be let in is read on for a while, so that its leaving is seen. */
  #pauseLink(): void {
    const isEarly = this.#phase === Phase.admitting && !this.#isThrottled
    if (!isEarly || (this.#held?.bytes ?? 0) > EARLY_BYTES_MAX) this.#link.pause()
  }

  get #isEnded(): boolean {
    return this.#phase === Phase.ended
  }

  get #isPaused(): boolean {
    return this.#isThrottled || this.#phase === Phase.admitting
  }

  /** Goes on with what was held back, and then with the link. */
  #resume(): void {
    const held = this.#held
    if (held !== undefined) this.#read(held.buffer, held.from, held.to)
    if (!this.#isEnded && !this.#isPaused) this.#link.resume()
  }

  #dropHeld(): void {
    this.#held?.close()
    this.#held = undefined
  }

  /** Refused: the session ends for this reason when the reader has returned. */
  #judge(rule: FrameRule | EndReason): FrameAction {
    if (rule === 'take') return FrameAction.accept
    if (rule === 'skip') {
      this.#parts.counters.add(Counter.unknownFrames, 1)
      return FrameAction.skip
    }
    this.#endReason = rule === ProtocolError.notPrivileged ? this.#whyUnprivileged(rule) : rule
    return FrameAction.reject
  }

  /** Who shows a key that is none is told so when it makes use of it; without, it is a client like any other. */
  #whyUnprivileged(other: EndReason): EndReason {
    return this.#member?.isMeshKeyRefused === true ? EndReason.meshKeyRefused : other
  }

  #onControl(type: number, buffer: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.ping:
        return this.#onPing(buffer.subarray(start, end))
      case FrameType.notePreferred:
        return this.#noteHome(buffer[start] !== 0)
      case FrameType.forwardPacket:
        return this.#parts.forwarder.fromSibling(this, buffer, start, end)
      case FrameType.watchConns:
        return this.#parts.registry.watch(this)
      case FrameType.closePeer:
        return this.#parts.scheduler.closePeerEverywhere(new Uint8Array(buffer.subarray(start, end)))
    }
  }

  /** At most one answer waits; pings that come meanwhile are not answered, as with derper. */
  #onPing(payload: Uint8Array): void {
    this.#parts.counters.add(Counter.pingsReceived, 1)
    if (this.#hasPong) return
    this.#hasPong = true
    this.#parts.counters.add(Counter.pongsSent, 1)
    this.tell(pongFrame(payload))
  }

  #noteHome(isHome: boolean): void {
    const { counters, registry, now } = this.#parts
    const isNews = this.#member?.noteHome(isHome, now() - this.#bornMs, counters)
    if (isNews === true) registry.homeNoted(this.peer as Peer)
  }

  #charge(payloadBytes: number): void {
    const charge = Math.min(payloadBytes, RATE_CHARGE_BYTES_MAX)
    const waitMs = this.#rate?.overdraw(charge, this.#parts.now()) ?? 0
    if (waitMs === 0 || this.#isThrottled) return
    this.#parts.counters.add(Counter.rateLimitWaits, 1)
    this.rest((goOn) => this.#parts.later(waitMs, goOn))
  }

  /** Reads no further until what `arrange` is given is called. */
  rest(arrange: (goOn: () => void) => void): void {
    if (this.#isThrottled) return
    this.#isThrottled = true
    arrange(() => {
      this.#isThrottled = false
      if (!this.#isEnded) this.#resume()
    })
  }

  // ── login ──

  /** Logins are work: when many come at once, packets don't wait for all of them. */
  #comeToLogin(payload: Uint8Array): void {
    const { logins } = this.#parts
    if (logins.isFree) return logins.pass(() => this.#logIn(payload))
    const kept = Buffer.from(payload)
    this.#phase = Phase.admitting
    logins.pass(() => {
      if (this.#phase === Phase.admitting) this.#logIn(kept)
    })
  }

  #logIn(payload: Uint8Array): void {
    const login = readLogin(payload, this.#parts.rules)
    if (typeof login === 'string') return this.end(login)
    this.#member = new ClientIdentity(login, this.#link, this.#idealNode)
    this.#phase = Phase.admitting
    if (this.#member.isMesh) {
      this.#establish(login.box, this.#member)
      return this.#held === undefined ? undefined : this.#resume()
    }
    const withinMs = LOGIN_TIMEOUT_MS - (this.#parts.now() - this.#bornMs)
    const request = { key: login.key, remote: this.#link.remote, withinMs }
    this.#asking = askAdmission(request, this.#parts, (refusal) => {
      this.#asking = undefined
      if (this.#phase !== Phase.admitting) return
      if (refusal !== undefined) return this.end(this.#whyUnprivileged(refusal.reason), refusal.cause)
      this.#establish(login.box, this.#member as ClientIdentity)
      if (this.#held !== undefined) this.#resume()
    })
  }

  /** From here on the client receives; ServerInfo is in its outbox before any packet can be. */
  #establish(box: BoxKey, member: ClientIdentity): void {
    const { counters, registry, limits, now, observer, random, rules } = this.#parts
    this.#phase = Phase.established
    if (member.isMesh) {
      this.#link.becomeTrunk()
    } else if (limits.rate !== undefined) {
      this.#rate = new TokenBucket(limits.rate.bytesPerSecond, limits.rate.burstBytes, now())
    }
    const instance = member.isMesh && member.wantsInstance ? rules.instance : undefined
    this.tell(serverInfoFrame(box, random(NONCE_BYTES), instance))
    this.#nextKeepAliveMs = now() + this.#keepAliveMs
    member.count(counters, 1)
    counters.add(Counter.loginsTotal, 1)
    counters.observe('login', (now() - this.#bornMs) / 1_000)
    this.peer = registry.register(this)
    observer.sessionStarted(sessionStart(member, this.#link, this.#isFastStart))
  }

  /** It has logged in with the mesh key. */
  get isMesh(): boolean {
    return this.#member?.isMesh === true
  }

  // ── outbound ──

  /** Queues a control frame. */
  tell(frame: Uint8Array): void {
    if (this.#isEnded) return
    if (!this.outbox.offerControl(frame, this.#parts.now())) return this.end(EndReason.controlOverflow)
    this.wantsFlush()
  }

  /** Something waits in the outbox; it is written when this turn of the loop has been read. */
  wantsFlush(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.#parts.scheduler.flushSoon(this)
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.#isEnded || this.outbox.writingSinceMs !== undefined) return
    this.#hasPong = false
    this.outbox.flush(this.#link, this.#parts.now())
  }

  written(): void {
    this.outbox.written()
    this.flush()
  }

  get allowances(): Allowances {
    return (this.#allowances ??= new Allowances(this.isMesh))
  }

  mayLookUp(nowMs: number): boolean {
    return this.allowances.mayLookUp(nowMs)
  }

  // ── time and end ──

  /** Too much waits in the whole relay: gives up what it must. Siblings are few, and carry many clients' packets. */
  relieve(): void {
    this.outbox.shrink()
    const keptBytes = Math.max(this.#frames.keptBytes, this.#held?.bytes ?? 0)
    if (keptBytes > FRAME_BYTES_MAX_WHEN_SPENT && this.#parts.memoryBudget.isSpent && !this.isMesh) {
      this.end(EndReason.memoryShort)
    }
  }

  /** It has not logged in in time; `sweep` ends it. */
  isOverdue(nowMs: number): boolean {
    return this.#phase < Phase.established && nowMs - this.#bornMs > LOGIN_TIMEOUT_MS
  }

  /** Called a few times per second: does what is due. */
  sweep(nowMs: number): void {
    if (this.isOverdue(nowMs)) {
      return this.end(this.#phase === Phase.greeting ? EndReason.loginTimeout : EndReason.admissionTimeout)
    }
    const timeoutMs = this.isMesh ? MESH_WRITE_TIMEOUT_MS : this.#parts.limits.writeTimeoutMs
    const sinceMs = this.outbox.writingSinceMs
    if (sinceMs !== undefined && timeoutMs > 0 && nowMs - sinceMs > timeoutMs) {
      this.#parts.counters.add(Counter.writeStalls, 1)
      return this.end(EndReason.writeStalled)
    }
    if (nowMs < this.#nextKeepAliveMs) return
    this.#nextKeepAliveMs += this.#keepAliveMs
    this.#parts.counters.add(Counter.keepAlivesSent, 1)
    this.tell(KEEP_ALIVE_FRAME)
  }

  /** The link is no more, so that nobody reads the burst in flight any longer. */
  closed(reason: EndReason): void {
    this.end(reason)
    this.outbox.written()
  }

  /** The only way out, from wherever: everything that the session held is given back here. */
  end(reason: EndReason, cause?: string): void {
    if (this.#isEnded) return
    const { counters, registry, observer, scheduler } = this.#parts
    const peer = this.peer
    // Who is refused at login has been greeted all the same: only ServerKey can wait here.
    const isLinkOver = reason === EndReason.remoteClosed || reason === EndReason.remoteReset
    const isToBeTold = reason === EndReason.meshKeyRefused && this.#member?.wantsInstance === true
    if (isToBeTold) this.outbox.offerControl(MESH_KEY_REFUSED_FRAME, this.#parts.now())
    if ((peer === undefined && !isLinkOver) || isToBeTold) this.outbox.flush(this.#link, this.#parts.now())
    this.#phase = Phase.ended
    this.#asking?.cancel()
    this.#frames.close()
    this.#dropHeld()
    this.lastDestination = undefined
    if (reason === EndReason.writeStalled || reason === EndReason.unacknowledged) this.#link.destroy()
    else this.#link.close()
    this.outbox.close()
    if (peer !== undefined && this.#member !== undefined) {
      registry.unregister(this, peer)
      this.#member.count(counters, -1)
    }
    counters.add(Counter.connectionsCurrent, -1)
    counters.countEnd(reason)
    scheduler.ended(this)
    observer.sessionEnded({ reason, remote: this.#link.remote, key: this.#member?.key, cause })
  }
}

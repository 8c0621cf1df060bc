// One relay thread's link to one sibling: dialled, logged in with the mesh key, told who is connected there, and
// dialled again when it breaks. Packets leave by a bounded outbox, so a sibling that stalls costs what was meant for
// it and holds nobody up. What arrives here is presence and answers; packets from the sibling come over its own link
// to us, which is a session like any other.
//
//   waiting ─→ dialling ─→ greeted ─→ up ─→ waiting …      self, alias and copied: nothing is to be had at this address
//
// Up is who has proven its key and answered behind a frame that only siblings may send.

import { concatBytes, startsWithAt } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { isMeshKeyRefusal, pongFrame } from '#protocol/frames.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import type { AddressedPacket, Flushable, SiblingOutbox } from '#relay/ports.ts'
import type { SiblingStream, Dial, DialHandler, SiblingAddress } from './dial.ts'
import { LinkQuality } from './link-quality.ts'
import type { SiblingReport, SiblingState } from './sibling-report.ts'
import type { DialableSibling } from './key-lookup.ts'
import { Redial } from './redial.ts'
import { SiblingLogin, type MeshIdentity } from './sibling-login.ts'
import type { RouteTable } from './route-table.ts'

/** Up for this long, a link that breaks is tried again at once, and clients may be sent to the sibling. */
const SETTLED_MS = 10_000
/** Another name of a relay that we have a link to may become one of its own. */
const TWIN_RETRY_MS = 30_000
/** A machine with a copied key may have been given its own; it is dialled as often as one that can't be reached. */
const COPIED_RETRY_MS = 5_000
/** Wanted before its time, a link is dialled at once, but not without a pause between two attempts. */
const DIAL_EVERY_MS_MIN = 1_000
/** As derper cuts a forward that is not taken. */
const WRITE_TIMEOUT_MS = 5_000
const PING_EVERY_MS = 5_000
/** Not one answer in a quarter of a minute. */
const SILENT_PINGS_MAX = 3

/** What a relay with a key that we know turns out to be; `why` is empty where that is as it should be. */
export interface Recognition {
  readonly state: 'self' | 'alias' | 'copied'
  readonly why: string
}

/** Who has the links of this thread. */
export interface LinkOwner {
  /** Whether the key is this relay's own, or that of a relay that another link leads to. */
  isKnown(link: SiblingLink, serverKey: Uint8Array): boolean
  /** Who has that key, by the run that it says it is; undefined: that can't be said yet. */
  recognise(link: SiblingLink, login: SiblingLogin): Recognition | undefined
  /** The state has changed. */
  changed(link: SiblingLink): void
}

export interface SiblingLinkParts {
  readonly owner: LinkOwner
  readonly identity: MeshIdentity
  /** The key that proves us to siblings, at this moment. */
  readonly meshKey: () => Uint8Array | undefined
  readonly dial: Dial
  readonly routeTable: RouteTable
  readonly makeOutbox: () => SiblingOutbox
  /** Keys that one sibling may say it has; more are passed over. */
  readonly keysMax: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly random: (bytes: number) => Uint8Array
  readonly later: (delayMs: number, callback: () => void) => void
  /** Asks for a call of `flush` at the end of the turn. */
  readonly flushSoon: (one: Flushable) => void
}

export class SiblingLink implements DialableSibling, Flushable {
  readonly serial: number
  readonly address: SiblingAddress
  readonly rank: number
  readonly #parts: SiblingLinkParts
  readonly #outbox: SiblingOutbox
  readonly #redial: Redial
  #quality = new LinkQuality()
  #state: SiblingState = 'waiting'
  /** The dial under way or done; what others call back about is over. */
  #dialled: DialHandler | undefined = undefined
  #connection: SiblingStream | undefined = undefined
  #login: SiblingLogin | undefined = undefined
  /** Why it is not up, while that is so, and why this side has cut the present connection. */
  #why = ''
  #cutWhy = ''
  #isTried = false
  #keys = 0
  #keysRefused = 0
  #packets = 0
  #bytes = 0
  #dropped = 0
  #dialledMs = -Infinity
  #upSinceMs = 0
  #pingDueMs = 0
  #isFlushDue = false

  constructor(address: SiblingAddress, serial: number, parts: SiblingLinkParts) {
    this.address = address
    this.serial = serial
    this.rank = address.isInside ? 0 : 1
    this.#parts = parts
    this.#outbox = parts.makeOutbox()
    this.#redial = new Redial(parts, () => this.#dial())
  }

  get state(): SiblingState {
    return this.#state
  }

  /** While there is a connection to a relay that no other link leads to. */
  get login(): SiblingLogin | undefined {
    return this.#login?.isDoubtful === true ? undefined : this.#login
  }

  /** Nothing of it is left: it is closed, and so is its connection. */
  get isOver(): boolean {
    return this.#state === 'closed' && this.#dialled === undefined
  }

  /** To be called by one who keeps the reports: what is said of delay is said once. */
  report(): SiblingReport {
    const { packets, bytes, dropped, delayMs } = this.#outbox.takeTally()
    this.#packets += packets
    this.#bytes += bytes
    this.#dropped += dropped
    return {
      name: this.address.name,
      serial: this.serial,
      state: this.#state,
      why: this.#why,
      isTried: this.#isTried,
      keys: this.#keys,
      keysRefused: this.#keysRefused,
      isInside: this.address.isInside,
      waitingBytes: this.#outbox.waitingBytes,
      packets: this.#packets,
      bytes: this.#bytes,
      dropped: this.#dropped,
      delayMs,
      ...this.#quality.read(),
    }
  }

  /** It has been up for so long that clients may be sent there. */
  isSettled(nowMs: number): boolean {
    return this.#state === 'up' && nowMs - this.#upSinceMs > SETTLED_MS
  }

  /** Why it is not up; empty when it is. */
  get why(): string {
    return this.#why
  }

  get isUp(): boolean {
    return this.#state === 'up'
  }

  /** Begins, if it is wanted already, and goes on until it is closed. */
  open(): void {
    if (this.address.isWatched) this.#dial()
    else this.#enter('idle')
  }

  /** It is wanted now, whenever it would have been dialled next. */
  wake(): void {
    if (this.#dialled !== undefined || this.#state === 'self' || this.#state === 'closed') return
    const sinceMs = this.#parts.now() - this.#dialledMs
    if (sinceMs >= DIAL_EVERY_MS_MIN) this.#dial()
    else if (this.#state !== 'waiting') this.#redial.after(DIAL_EVERY_MS_MIN - sinceMs)
  }

  /** For good. */
  close(): void {
    if (this.#state === 'closed') return
    this.#redial.cancel()
    this.#forget()
    this.#enter('closed')
    this.#connection?.destroy()
  }

  #dial(): void {
    if (this.#dialled !== undefined || this.#state === 'closed') return
    this.#redial.cancel()
    this.#cutWhy = ''
    this.#dialledMs = this.#parts.now()
    const handler = this.#makeHandler()
    this.#dialled = handler
    this.#enter('dialling')
    const connection = this.#parts.dial(this.address, handler)
    if (this.#dialled === handler) this.#connection = connection
  }

  /** What a connection that is no longer this link's calls back changes nothing. */
  #makeHandler(): DialHandler {
    const isCurrent = (): boolean => this.#dialled === handler
    const handler: DialHandler = {
      greet: (serverKey) => (isCurrent() ? this.#greet(serverKey) : undefined),
      onFrame: (type, buffer, start, end) => {
        if (isCurrent() && this.#state !== 'closed') this.#onFrame(type, buffer, start, end)
      },
      written: () => {
        if (isCurrent()) this.#written()
      },
      onClosed: (why) => {
        if (isCurrent()) this.#onClosed(why)
      },
    }
    return handler
  }

  // ── packets out ──

  forward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    this.#outbox.offerForward(packet, sourceKey, nowMs)
    this.#wantsFlush()
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.#connection === undefined || this.#state === 'dialling' || this.#state === 'closed') return
    this.#outbox.flush(this.#connection, this.#parts.now())
  }

  #written(): void {
    this.#outbox.written()
    this.flush()
  }

  #wantsFlush(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.#parts.flushSoon(this)
  }

  #tell(frame: Uint8Array): void {
    if (this.#outbox.offerControl(frame, this.#parts.now())) this.#wantsFlush()
    else this.#cut('takes no control frames')
  }

  // ── login ──

  #greet(serverKey: Uint8Array): Uint8Array | undefined {
    if (this.#state !== 'dialling') return undefined
    const { owner, identity, meshKey, now, random } = this.#parts
    const box = identity.secret.agree(serverKey)
    if (box === undefined) {
      this.#cutWhy = 'has a key that no box can be made for'
      return undefined
    }
    this.#login = new SiblingLogin(serverKey, owner.isKnown(this, serverKey), box)
    this.#quality = new LinkQuality()
    this.#enter('greeted')
    const { isInside, isWatched } = this.address
    const wish = { meshKey: meshKey(), wantsHomesOnly: !isInside, wantsPresence: isWatched }
    const nowMs = now()
    this.#pingDueMs = nowMs + PING_EVERY_MS
    return concatBytes(this.#login.greeting(identity, wish, random), this.#quality.ping(nowMs))
  }

  // ── frames in ──

  #onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.serverInfo:
        return this.#onServerInfo(buffer.subarray(start, end))
      case FrameType.peerPresent:
        return this.#onPresent(buffer, start, end)
      case FrameType.peerGone:
        return this.#onGone(buffer, start, end)
      case FrameType.pong:
        return this.#onPong(buffer.subarray(start, end))
      case FrameType.ping:
        return this.#tell(pongFrame(buffer.subarray(start, end)))
      case FrameType.health:
        if (isMeshKeyRefusal(buffer.subarray(start, end)))
          this.#cutWhy = "did not accept this relay's mesh key"
    }
  }

  /** The box proves that the sibling holds the key that it showed. */
  #onServerInfo(payload: Uint8Array): void {
    if (this.#login?.prove(payload) !== true) return this.#cut('sent a ServerInfo that is not meant for us')
    this.#recognise()
  }

  #recognise(): void {
    const login = this.#login
    if (login?.isDoubtful !== true || !login.isProven) return
    const found = this.#parts.owner.recognise(this, login)
    if (found === undefined) return
    this.#why = found.why
    this.#enter(found.state)
    this.#connection?.destroy()
  }

  /** The first comes behind the login and a frame for siblings alone, and behind all presence, where the sibling keeps order. */
  #onPong(payload: Uint8Array): void {
    if (this.#state === 'greeted') {
      this.#isTried = true
      return this.#onAccepted()
    }
    this.#isTried = true
    this.#quality.pong(payload, this.#parts.now())
  }

  #onAccepted(): void {
    if (this.#state !== 'greeted' || this.#login === undefined || this.#login.isDoubtful) return
    if (!this.#login.isProven) return this.#cut('has not proven its key')
    this.#quality.disregard()
    this.#upSinceMs = this.#parts.now()
    this.#pingDueMs = this.#upSinceMs
    this.#why = ''
    this.#enter('up')
  }

  #onPresent(buffer: Buffer, start: number, end: number): void {
    if (end - start < KEY_BYTES) return this.#cut('sent a presence without a key')
    this.#onAccepted()
    if (this.#state !== 'up') return
    if (startsWithAt(buffer, start, this.#parts.identity.publicKey)) return
    if (this.#keys >= this.#parts.keysMax) {
      this.#keysRefused++
    } else if (this.#parts.routeTable.add(buffer, start, this)) {
      this.#keys++
    }
  }

  /** Whatever the reason: also the answer to a packet for a key that is not there. */
  #onGone(buffer: Buffer, start: number, end: number): void {
    if (end - start < KEY_BYTES) return this.#cut('sent a departure without a key')
    if (this.#parts.routeTable.remove(buffer, start, this) && this.address.isWatched) this.#keys--
  }

  // ── time and end ──

  /** To be called about twice a second. */
  sweep(nowMs: number): void {
    if (this.#state !== 'up' && this.#state !== 'greeted') return
    const { writingSinceMs } = this.#outbox
    if (writingSinceMs !== undefined && nowMs - writingSinceMs > WRITE_TIMEOUT_MS) {
      return this.#cut(`took no bytes for ${WRITE_TIMEOUT_MS} ms`)
    }
    if (this.#quality.read().silentPings >= SILENT_PINGS_MAX) return this.#cut('answers no pings')
    this.#recognise()
    if (this.#state === 'up' && nowMs - this.#upSinceMs > SETTLED_MS) this.#redial.succeeded()
    if (nowMs < this.#pingDueMs) return
    this.#pingDueMs = nowMs + PING_EVERY_MS
    this.#tell(this.#quality.ping(nowMs))
  }

  /** `why` completes "the sibling …". */
  #cut(why: string): void {
    this.#cutWhy = why
    this.#connection?.destroy()
  }

  #onClosed(why: string): void {
    const before = this.#state
    this.#dialled = undefined
    this.#connection = undefined
    this.#forget()
    this.#outbox.written()
    this.#outbox.close()
    if (before === 'closed') return this.#parts.owner.changed(this)
    if (before === 'self') return
    if (before === 'alias') return this.#redial.after(TWIN_RETRY_MS)
    if (before === 'copied') return this.#redial.after(COPIED_RETRY_MS)
    const isRefusal = before === 'greeted' && this.#cutWhy === ''
    if (isRefusal)
      this.#why = `closed the connection at login, as a relay with another mesh key does (${why})`
    else this.#why = this.#cutWhy === '' ? why : this.#cutWhy
    this.#enter('waiting')
    this.#redial.afterFailure()
  }

  /** Of the connection and what was told over it nothing is left. */
  #forget(): void {
    this.#login = undefined
    this.#parts.routeTable.forget(this)
    this.#keys = 0
  }

  #enter(state: SiblingState): void {
    this.#state = state
    this.#isTried ||= state !== 'dialling' && state !== 'greeted' && state !== 'up'
    this.#parts.owner.changed(this)
  }
}

// One relay thread's link to one sibling: dials it, logs in with the mesh key, receives its presence, and dials again
// when the connection breaks. Packets leave through a bounded outbox, so a sibling that stalls loses its own packets and
// delays nobody else. Only presence and answers arrive here; the sibling's packets arrive over its own link to this
// relay, which is a session like any other.
//
//   waiting ─→ dialling ─→ greeted ─→ up ─→ waiting …      self, alias and copied: no sibling of its own (sibling-report.ts)
//
// Contract: the link is up only after the sibling has proven its key and has answered behind a frame that only siblings
// may send.

import { concatBytes } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { isMeshKeyRefusal, pongFrame, readRestarting } from '#protocol/frames.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { AddressedPacket } from '#relay/ports.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { Dial, DialHandler } from './dial.ts'
import { LinkQuality } from './link-quality.ts'
import type { SiblingReport, SiblingState } from './sibling-report.ts'
import type { DialableSibling } from './key-lookup.ts'
import { Redial } from './redial.ts'
import { SiblingLogin, type MeshIdentity } from './sibling-login.ts'
import { SiblingPresence } from './sibling-presence.ts'
import { SiblingSender, type SiblingSenderParts } from './sibling-sender.ts'
import type { RouteTable } from './route-table.ts'

/** A link that has been up for this long is redialled at once when it breaks, and clients may be moved to the sibling. */
const SETTLED_MS = 10_000
/** An alias may become a relay of its own. */
const ALIAS_RETRY_MS = 30_000
/** A copied key may have been replaced; the relay is dialled as often as one that can't be reached. */
const COPIED_RETRY_MS = 5_000
/** `wake` dials at once, but not sooner than this after the last attempt. */
const DIAL_EVERY_MS_MIN = 1_000
/** derper's limit for a forward that the sibling does not read. */
const WRITE_TIMEOUT_MS = 5_000
/**
 * A minute has twelve answers on each thread's link, and their median differs from that of sixty by less than half of what
 * single answers vary. A hundred siblings on eight threads cost 160 pings a second; with a ping a second it would be 800.
 */
const PING_EVERY_MS = 5_000
/** A sibling that drains longer says so in vain: packets for keys that have left for good must be dropped at some time. */
const DRAIN_MS_MAX = 3_600_000
/** A quarter of a minute without an answer. */
const SILENT_PINGS_MAX = 3

/** The meaning of a server key that is already known here. `why` is empty where nothing is wrong. */
export interface DuplicateSibling {
  readonly state: 'self' | 'alias' | 'copied'
  readonly why: string
}

/** The owner of all links of this thread. */
export interface LinkOwner {
  /** Whether the key is this relay's own, or that of a relay that another link leads to. */
  isDuplicate(link: SiblingLink, serverKey: Uint8Array): boolean
  /** Explains a duplicate key by the run that the relay names; undefined: not known yet. */
  identify(link: SiblingLink, login: SiblingLogin): DuplicateSibling | undefined
  /** The link's state has changed. */
  changed(link: SiblingLink): void
}

export interface SiblingLinkParts extends SiblingSenderParts {
  readonly owner: LinkOwner
  readonly identity: MeshIdentity
  /** The current key that makes this relay a sibling. */
  readonly meshKey: () => Uint8Array | undefined
  readonly dial: Dial
  readonly routeTable: RouteTable
  /** Keys that one sibling may have. */
  readonly keysMax: number
  readonly random: (bytes: number) => Uint8Array
  /** A sibling drains, and is gone after so long: its clients are expected elsewhere. */
  readonly siblingDrains: (forMs: number) => void
  readonly later: (delayMs: number, callback: () => void) => void
  /** A sibling with this key answers what it was asked over this link. */
  readonly answered: (key: Uint8Array, state: Uint8Array) => void
}

export class SiblingLink implements DialableSibling {
  readonly serial: number
  readonly sibling: Sibling
  readonly rank: number
  readonly #parts: SiblingLinkParts
  readonly #sender: SiblingSender
  readonly #redial: Redial
  readonly #presence: SiblingPresence
  #quality = new LinkQuality()
  #state: SiblingState = 'waiting'
  /** The handler of the current attempt or connection; calls to any other are ignored. */
  #handler: DialHandler | undefined = undefined
  #login: SiblingLogin | undefined = undefined
  /** Why the link is not up; empty when it is. */
  #why = ''
  /** Why this side has ended the current connection; empty when it has not. */
  #cutWhy = ''
  #isTried = false
  /** Until then the sibling drains, or another run of it does: its clients are expected back, and none is moved to it. */
  #leavingUntilMs = -Infinity
  #dialledMs = -Infinity
  #upSinceMs = 0
  #pingDueMs = 0

  constructor(sibling: Sibling, serial: number, parts: SiblingLinkParts) {
    const { routeTable, keysMax, identity } = parts
    const { isInside, isWatched } = sibling
    this.sibling = sibling
    this.serial = serial
    this.rank = isInside ? 0 : 1
    this.#parts = parts
    this.#sender = new SiblingSender(parts)
    this.#redial = new Redial(parts, () => this.#dial())
    const ownKey = identity.publicKey
    this.#presence = new SiblingPresence(this, { routeTable, keysMax, ownKey, isWatched })
  }

  get state(): SiblingState {
    return this.#state
  }

  /** Why the link is not up; empty when it is. */
  get why(): string {
    return this.#why
  }

  get #isLeaving(): boolean {
    return this.#parts.now() < this.#leavingUntilMs
  }

  /** Clients of a sibling that is not watched are looked up in the directory, which also says where they are back. */
  get isDraining(): boolean {
    return this.#isLeaving && this.isWatched
  }

  get isWatched(): boolean {
    return this.sibling.isWatched
  }

  get isUp(): boolean {
    return this.#state === 'up'
  }

  /** The login of the current connection, unless the server's key is a duplicate. */
  get login(): SiblingLogin | undefined {
    return this.#login?.isDuplicate === true ? undefined : this.#login
  }

  /** The link is closed, and its last connection has ended. */
  get isOver(): boolean {
    return this.#state === 'closed' && this.#handler === undefined
  }

  /** The link has been up long enough to move clients to the sibling. */
  isSettled(nowMs: number): boolean {
    return this.#state === 'up' && !this.#isLeaving && nowMs - this.#upSinceMs > SETTLED_MS
  }

  /** The numbers so far. For one caller only: the delay is reported once. */
  report(): SiblingReport {
    return {
      name: this.sibling.name,
      serial: this.serial,
      state: this.#state,
      why: this.#why,
      isTried: this.#isTried,
      keys: this.#presence.keys,
      keysRefused: this.#presence.keysRefused,
      isInside: this.sibling.isInside,
      ...this.#identityOfSibling(),
      ...this.#sender.takeNumbers(),
      ...this.#quality.read(),
    }
  }

  #identityOfSibling(): Pick<SiblingReport, 'key' | 'instance'> {
    const login = this.isUp ? this.login : undefined
    return { key: login && publicKeyText(login.serverKey), instance: login?.instance }
  }

  /** Dials, if the sibling is watched, and keeps the link until `close`. */
  open(): void {
    if (this.sibling.isWatched) this.#dial()
    else this.#enter('idle')
  }

  /** The sibling is needed now: dials, whenever the next attempt was due. */
  wake(): void {
    if (this.#handler !== undefined || this.#state === 'self' || this.#state === 'closed') return
    const sinceMs = this.#parts.now() - this.#dialledMs
    if (sinceMs >= DIAL_EVERY_MS_MIN) this.#dial()
    else if (this.#state !== 'waiting') this.#redial.after(DIAL_EVERY_MS_MIN - sinceMs)
  }

  /** Closes the link for good. */
  close(): void {
    if (this.#state === 'closed') return
    this.#redial.cancel()
    this.#forget()
    this.#enter('closed')
    this.#sender.stream?.destroy()
  }

  #dial(): void {
    if (this.#handler !== undefined || this.#state === 'closed') return
    this.#redial.cancel()
    this.#cutWhy = ''
    this.#dialledMs = this.#parts.now()
    const handler = this.#makeHandler()
    this.#handler = handler
    this.#enter('dialling')
    const stream = this.#parts.dial(this.sibling, handler)
    if (this.#handler === handler) this.#sender.stream = stream
  }

  /** Calls from a former connection change nothing. */
  #makeHandler(): DialHandler {
    const isCurrent = (): boolean => this.#handler === handler
    const handler: DialHandler = {
      greet: (serverKey) => (isCurrent() ? this.#greet(serverKey) : undefined),
      onFrame: (type, buffer, start, end) => {
        if (isCurrent() && this.#state !== 'closed') this.#onFrame(type, buffer, start, end)
      },
      written: () => {
        if (isCurrent()) this.#sender.written()
      },
      onClosed: (why) => {
        if (isCurrent()) this.#onClosed(why)
      },
    }
    return handler
  }

  forward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    this.#sender.forward(packet, sourceKey, nowMs)
  }

  /** A frame that the sibling may pass over. */
  tellState(frame: Uint8Array): void {
    if (this.isUp) this.#sendControl(frame)
  }

  #sendControl(frame: Uint8Array): void {
    if (!this.#sender.sendControl(frame)) this.#cut('does not read control frames')
  }

  // ── login ──

  #greet(serverKey: Uint8Array): Uint8Array | undefined {
    if (this.#state !== 'dialling') return undefined
    const { owner, identity, meshKey, now, random } = this.#parts
    const box = identity.secret.agree(serverKey)
    if (box === undefined) {
      this.#cutWhy = 'has an invalid key, with which no box can be made'
      return undefined
    }
    this.#login = new SiblingLogin(serverKey, owner.isDuplicate(this, serverKey), box)
    this.#quality = new LinkQuality()
    this.#enter('greeted')
    const { isInside, isWatched } = this.sibling
    const options = { meshKey: meshKey(), wantsHomesOnly: !isInside, wantsPresence: isWatched }
    const nowMs = now()
    this.#pingDueMs = nowMs + PING_EVERY_MS
    return concatBytes(this.#login.greeting(identity, options, random), this.#quality.ping(nowMs))
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
        return this.#sendControl(pongFrame(buffer.subarray(start, end)))
      case FrameType.restarting:
        return this.#onRestarting(buffer.subarray(start, end))
      case FrameType.relayState:
        if (this.isUp && this.#login) this.#parts.answered(this.#login.serverKey, buffer.subarray(start, end))
        return
      case FrameType.health:
        if (isMeshKeyRefusal(buffer.subarray(start, end)))
          this.#cutWhy = "did not accept this relay's mesh key"
    }
  }

  /** The box proves that the sibling holds the key that it presented. */
  #onServerInfo(payload: Uint8Array): void {
    if (this.#login?.prove(payload) !== true) return this.#cut('sent a ServerInfo made for another relay')
    this.#identify()
  }

  #identify(): void {
    const login = this.#login
    if (login?.isDuplicate !== true || !login.isProven) return
    const duplicate = this.#parts.owner.identify(this, login)
    if (duplicate === undefined) return
    this.#why = duplicate.why
    this.#enter(duplicate.state)
    this.#sender.stream?.destroy()
  }

  /** The first pong follows the login, the frame for siblings alone and, from siblings that keep the order, all presence. */
  #onPong(payload: Uint8Array): void {
    this.#isTried = true
    if (this.#state === 'greeted') this.#onAccepted()
    else this.#quality.pong(payload, this.#parts.now(), 1_000 * (this.#sender.stream?.roundTripSeconds ?? 0))
  }

  #onAccepted(): void {
    if (this.#state !== 'greeted' || this.#login === undefined || this.#login.isDuplicate) return
    if (!this.#login.isProven) return this.#cut('has not proven its key')
    this.#quality.disregard()
    this.#upSinceMs = this.#parts.now()
    this.#pingDueMs = this.#upSinceMs
    this.#why = ''
    this.#enter('up')
  }

  #onPresent(buffer: Buffer, start: number, end: number): void {
    if (end - start < KEY_BYTES) return this.#cut('sent PeerPresent without a key')
    this.#onAccepted()
    if (this.#state === 'up') this.#presence.add(buffer, start)
  }

  /** PeerGone with any reason: it also answers a packet for a key that is not there. */
  #onGone(buffer: Buffer, start: number, end: number): void {
    if (end - start < KEY_BYTES) return this.#cut('sent PeerGone without a key')
    this.#presence.remove(buffer, start)
  }

  #onRestarting(payload: Uint8Array): void {
    const restart = readRestarting(payload)
    if (restart === undefined || (this.#state !== 'up' && this.#state !== 'greeted')) return
    const forMs = Math.min(restart.reconnectInMs, DRAIN_MS_MAX)
    this.#leavingUntilMs = this.#parts.now() + forMs
    if (this.isDraining) this.#parts.siblingDrains(forMs)
  }

  // ── time and end ──

  /** To be called about twice a second. */
  sweep(nowMs: number): void {
    if (this.#state !== 'up' && this.#state !== 'greeted') return
    if (this.#sender.isStalled(nowMs, WRITE_TIMEOUT_MS))
      return this.#cut(`read no bytes for ${WRITE_TIMEOUT_MS} ms`)
    if (this.#quality.silentPings >= SILENT_PINGS_MAX) return this.#cut('answers no pings')
    this.#identify()
    if (this.#state === 'up' && nowMs - this.#upSinceMs > SETTLED_MS) this.#redial.succeeded()
    if (nowMs < this.#pingDueMs) return
    this.#pingDueMs = nowMs + PING_EVERY_MS
    // The time is taken anew: this sweep may have done a lot before it came to this link.
    this.#sendControl(this.#quality.ping(this.#parts.now()))
  }

  /** `why` completes "the sibling …". */
  #cut(why: string): void {
    this.#cutWhy = why
    this.#sender.stream?.destroy()
  }

  #onClosed(why: string): void {
    const before = this.#state
    // If it was upgraded in place, another run of it answers already. Packets for its clients are held for half a second.
    const mayAnswer = before === 'up' && this.#isLeaving
    this.#handler = undefined
    this.#forget()
    this.#sender.disconnected()
    if (before === 'closed') return this.#parts.owner.changed(this)
    if (before === 'self') return
    if (before === 'alias') return this.#redial.after(ALIAS_RETRY_MS)
    if (before === 'copied') return this.#redial.after(COPIED_RETRY_MS)
    const isRefusal = before === 'greeted' && this.#cutWhy === ''
    if (isRefusal)
      this.#why = `closed the connection at login, as a relay with another mesh key does (${why})`
    else this.#why = this.#cutWhy === '' ? why : this.#cutWhy
    this.#enter('waiting')
    if (mayAnswer) this.#redial.atOnce()
    else this.#redial.afterFailure()
  }

  /** The login and the presence end with the connection. */
  #forget(): void {
    this.#login = undefined
    this.#presence.clear()
    this.#leavingUntilMs = -Infinity
  }

  #enter(state: SiblingState): void {
    this.#state = state
    this.#sender.isOpen = state !== 'dialling' && state !== 'closed'
    this.#isTried ||= state !== 'dialling' && state !== 'greeted' && state !== 'up'
    this.#parts.owner.changed(this)
  }
}

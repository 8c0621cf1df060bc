// One relay thread's link to one sibling: dialled, logged in with the mesh key, told who is connected there, and
// dialled again when it breaks. Packets leave by a bounded outbox, so a sibling that stalls costs what was meant for
// it and holds nobody up. What arrives here is presence and answers; packets from the sibling come over its own link
// to us, which is a session like any other.
//
//   waiting ─→ dialling ─→ greeted ─→ up ─→ waiting …      self and twin: there is nothing to be had at this address

import type { BoxKey, BoxSecret } from '#protocol/box.ts'
import { concatBytes, startsWithAt } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { pongFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { clientInfoFrame, openServerInfo } from '#protocol/handshake.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'
import type { AddressedPacket, Flushable, SiblingOutbox } from '#relay/ports.ts'
import type { Connection, Dial, DialHandler, SiblingAddress } from './dial.ts'
import { LinkQuality, type Quality } from './link-quality.ts'
import type { LocatableSibling } from './locator.ts'
import type { RouteBook } from './route-book.ts'

/** A sibling that was restarted is back in seconds; from the fifth attempt on as often as derper tries. */
const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 5_000
/** Up for this long, a link that breaks is tried again at once, and clients may be sent to the sibling. */
const SETTLED_MS = 10_000
/** Another name of a relay that we have a link to may become one of its own. */
const TWIN_RETRY_MS = 30_000
/** As derper cuts a forward that is not taken. */
const WRITE_TIMEOUT_MS = 5_000
const PING_EVERY_MS = 5_000
/** Not one answer in a quarter of a minute. */
const SILENT_PINGS_MAX = 3

/** Idle: not needed so far. */
export type LinkState = 'idle' | 'waiting' | 'dialling' | 'greeted' | 'up' | 'self' | 'twin' | 'closed'

/** What a sibling's key means to us: welcome, or this relay's own, or one that we have a link to. */
export type Verdict = 'welcome' | 'self' | 'twin'

/** Who has the links of this thread. */
export interface LinkOwner {
  judge(link: SiblingLink, serverKey: Uint8Array): Verdict
  /** The state has changed. */
  changed(link: SiblingLink): void
}

export interface MeshIdentity {
  readonly publicKey: Uint8Array
  readonly secret: BoxSecret
}

export interface SiblingLinkParts {
  readonly owner: LinkOwner
  readonly identity: MeshIdentity
  /** The key that proves us to siblings, at this moment. */
  readonly meshKey: () => Uint8Array | undefined
  readonly dial: Dial
  readonly book: RouteBook
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

/** One link as operators see it. */
export interface LinkReport extends Quality {
  readonly name: string
  readonly state: LinkState
  /** Why it is not up; empty when it is. */
  readonly why: string
  /** It has told who is there, or could not be had. */
  readonly isTried: boolean
  readonly keys: number
  readonly keysRefused: number
  readonly isInside: boolean
  readonly waitingBytes: number
  /** Since the link was made, over all its connections. */
  readonly packets: number
  readonly bytes: number
  readonly dropped: number
  /** How long a packet has waited here at most since the last report. */
  readonly delayMs: number
}

export class SiblingLink implements LocatableSibling, DialHandler, Flushable {
  readonly address: SiblingAddress
  readonly rank: number
  readonly #parts: SiblingLinkParts
  readonly #outbox: SiblingOutbox
  #quality = new LinkQuality()
  #state: LinkState = 'waiting'
  #connection: Connection | undefined = undefined
  #serverKey: Uint8Array | undefined = undefined
  #box: BoxKey | undefined = undefined
  #why = ''
  #isTried = false
  #keys = 0
  #keysRefused = 0
  #packets = 0
  #bytes = 0
  #dropped = 0
  #failures = 0
  #upSinceMs = 0
  #pingDueMs = 0
  #isFlushDue = false

  constructor(address: SiblingAddress, parts: SiblingLinkParts) {
    this.address = address
    this.rank = address.isInside ? 0 : 1
    this.#parts = parts
    this.#outbox = parts.makeOutbox()
  }

  get state(): LinkState {
    return this.#state
  }

  /** The sibling's own key, while there is a connection. */
  get serverKey(): Uint8Array | undefined {
    return this.#serverKey
  }

  /** To be called by one who keeps the reports: what is said of delay is said once. */
  report(): LinkReport {
    const { packets, bytes, dropped, delayMs } = this.#outbox.takeTally()
    this.#packets += packets
    this.#bytes += bytes
    this.#dropped += dropped
    return {
      name: this.address.name,
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
    if (this.address.isWatched) this.wake()
    else this.#enter('idle')
  }

  wake(): void {
    if (this.#state !== 'waiting' && this.#state !== 'idle') return
    this.#enter('dialling')
    this.#connection = this.#parts.dial(this.address, this)
  }

  /** For good. */
  close(): void {
    this.#enter('closed')
    this.#connection?.destroy()
  }

  // ── packets out ──

  forward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    this.#outbox.offerForward(packet, sourceKey, nowMs)
    this.#wantsFlush()
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.#connection === undefined || this.#state === 'dialling') return
    this.#outbox.flush(this.#connection, this.#parts.now())
  }

  written(): void {
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

  greet(serverKey: Uint8Array): Uint8Array | undefined {
    const { owner, identity, meshKey, random } = this.#parts
    const verdict = owner.judge(this, serverKey)
    if (verdict !== 'welcome') {
      this.#enter(verdict)
      return undefined
    }
    this.#box = identity.secret.agree(serverKey)
    if (this.#box === undefined) {
      this.#why = 'its key is none that a box can be made for'
      return undefined
    }
    this.#serverKey = serverKey
    this.#quality = new LinkQuality()
    this.#enter('greeted')
    const info = { meshKey: meshKey(), canAckPings: false, wantsHomesOnly: !this.address.isInside }
    const login = clientInfoFrame(identity.publicKey, info, this.#box, random(NONCE_BYTES))
    if (this.address.isWatched) return concatBytes(login, WATCH_CONNS_FRAME)
    const ping = this.#quality.ping(this.#parts.now())
    return ping === undefined ? login : concatBytes(login, ping)
  }

  // ── frames in ──

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.serverInfo:
        return this.#onServerInfo(buffer.subarray(start, end))
      case FrameType.peerPresent:
        return this.#onPresent(buffer, start, end)
      case FrameType.peerGone:
        return this.#onGone(buffer, start, end)
      case FrameType.pong:
        // The first comes behind all presence, where the sibling keeps things in order.
        this.#isTried = true
        // Who is not watched has nothing to tell but this.
        if (this.#state === 'greeted' && !this.address.isWatched) this.#onUp()
        return this.#quality.pong(buffer.subarray(start, end), this.#parts.now())
      case FrameType.ping:
        return this.#tell(pongFrame(buffer.subarray(start, end)))
    }
  }

  /** The box proves that the sibling holds the key that it showed. */
  #onServerInfo(payload: Uint8Array): void {
    if (this.#box === undefined || openServerInfo(payload, this.#box) === undefined) {
      this.#cut('its ServerInfo is not meant for us')
    }
  }

  /** The first is our own: the sibling has taken the mesh key, and tells us who is there. */
  #onPresent(buffer: Buffer, start: number, end: number): void {
    if (end - start < KEY_BYTES) return this.#cut('sent a presence without a key')
    if (this.#state === 'greeted') this.#onUp()
    if (startsWithAt(buffer, start, this.#parts.identity.publicKey)) return
    if (this.#keys >= this.#parts.keysMax) {
      this.#keysRefused++
    } else if (this.#parts.book.add(buffer, start, this)) {
      this.#keys++
    }
  }

  /** Whatever the reason: also the answer to a packet for a key that is not there. */
  #onGone(buffer: Buffer, start: number, end: number): void {
    if (end - start < KEY_BYTES) return this.#cut('sent a departure without a key')
    if (this.#parts.book.remove(buffer, start, this) && this.address.isWatched) this.#keys--
  }

  #onUp(): void {
    this.#upSinceMs = this.#parts.now()
    this.#pingDueMs = this.#upSinceMs
    this.#why = ''
    this.#enter('up')
  }

  // ── time and end ──

  /** To be called about twice a second. */
  sweep(nowMs: number): void {
    if (this.#state !== 'up') return
    const { writingSinceMs } = this.#outbox
    if (writingSinceMs !== undefined && nowMs - writingSinceMs > WRITE_TIMEOUT_MS) {
      return this.#cut(`took no bytes for ${WRITE_TIMEOUT_MS} ms`)
    }
    if (this.#quality.read().silentPings >= SILENT_PINGS_MAX) return this.#cut('answers no pings')
    if (nowMs < this.#pingDueMs) return
    const ping = this.#quality.ping(nowMs)
    if (ping === undefined) return
    this.#pingDueMs = nowMs + PING_EVERY_MS
    this.#tell(ping)
  }

  /** `why` completes "the sibling …". */
  #cut(why: string): void {
    this.#why = why
    this.#connection?.destroy()
  }

  onClosed(why: string): void {
    const nowMs = this.#parts.now()
    const wasUp = this.#state === 'up'
    this.#connection = undefined
    this.#serverKey = undefined
    this.#box = undefined
    this.#parts.book.forget(this)
    this.#keys = 0
    this.#outbox.written()
    this.#outbox.close()
    if (this.#state === 'closed' || this.#state === 'self') return
    this.#why ||= why
    this.#failures = wasUp && nowMs - this.#upSinceMs > SETTLED_MS ? 0 : this.#failures + 1
    const retryMs = this.#state === 'twin' ? TWIN_RETRY_MS : this.#retryMs()
    if (this.#state !== 'twin') this.#enter('waiting')
    this.#parts.later(retryMs, () => this.#retry())
  }

  #retry(): void {
    if (this.#state === 'closed') return
    this.#state = 'waiting'
    this.#why = ''
    this.wake()
  }

  /** Doubles with each failure; up to a quarter more, so that siblings that lost one together do not come together. */
  #retryMs(): number {
    const jitter = 1 + (this.#parts.random(1)[0] ?? 0) / 1_024
    return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures) * jitter
  }

  #enter(state: LinkState): void {
    this.#state = state
    this.#isTried ||= state !== 'dialling' && state !== 'greeted' && state !== 'up'
    this.#parts.owner.changed(this)
  }
}

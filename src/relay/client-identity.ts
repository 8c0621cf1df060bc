// What a session keeps of its login: the client's proven key and what it said about itself, in few bytes, because most
// of a relay's memory belongs to silent clients. Says what kind of client it is, for watchers, gauges and the log.

import { PresenceFlag } from '#protocol/frame-type.ts'
import { peerPresentFrame } from '#protocol/frames.ts'
import { Counter, type Counters } from './counters.ts'
import type { Login } from './login.ts'
import type { Link, SessionStart } from './ports.ts'

/** Beside the presence flags: it showed a mesh key that is none of this relay's. Watchers are not told. */
const MESH_KEY_REFUSED = 0x100
/** Beside them, too: it asks which run of a relay this is, as derpfleet relays do and derpers do not. */
const WANTS_INSTANCE = 0x200
const PRESENCE_FLAGS = 0xff

/** A change of the home note so soon after the connection was accepted is part of logging in, not a move. */
const HOME_MOVE_AFTER_MS = 5_000

/** Beside them, too: its client did not wait for an HTTP answer. */
const FAST_START = 0x400

/** How a client's connection came in. */
export interface ClientStart {
  /** Of the connections of this thread; no two have the same. */
  readonly number: number
  /** Its client does not wait for an HTTP answer. */
  readonly isFastStart: boolean
  /** The node that the client named as its ideal one; empty if it is this one. */
  readonly idealNode: string
}

export class ClientIdentity {
  readonly number: number
  /** 32 bytes. */
  readonly key: Uint8Array
  /** The mesh key that it logged in with: privileged, not subject to admission or limits. Undefined for a client. */
  readonly meshKey: Uint8Array | undefined
  /** It is a sibling of another region, which is told of home keys only. */
  readonly wantsHomesOnly: boolean
  /** The node that it prefers to be connected to; empty if there is none. */
  readonly idealNode: string
  /** It has noted this relay as its home. */
  isHome = false
  /** The name that the application gives itself; empty if it gives none. */
  readonly appName: string
  /** The protocol version that it says it speaks. */
  readonly version: number
  readonly #link: Link
  readonly #flags: number

  constructor({ key, meshKey, info }: Login, link: Link, { number, isFastStart, idealNode }: ClientStart) {
    this.number = number
    this.key = key
    this.meshKey = meshKey
    this.wantsHomesOnly = this.isMesh && info.wantsHomesOnly
    this.idealNode = idealNode
    this.#link = link
    this.appName = info.appName
    this.version = info.version
    this.#flags =
      (this.isMesh ? PresenceFlag.meshPeer : 0) |
      (info.isProber ? PresenceFlag.prober : 0) |
      (idealNode === '' ? 0 : PresenceFlag.notIdeal) |
      (info.meshKey !== undefined && !this.isMesh ? MESH_KEY_REFUSED : 0) |
      (info.wantsInstance ? WANTS_INSTANCE : 0) |
      (isFastStart ? FAST_START : 0)
  }

  get isMesh(): boolean {
    return this.meshKey !== undefined
  }

  /** It showed a mesh key, but none of this relay's. */
  get isMeshKeyRefused(): boolean {
    return (this.#flags & MESH_KEY_REFUSED) !== 0
  }

  /** It asks for what derper does not say; others are not sent it. */
  get wantsInstance(): boolean {
    return (this.#flags & WANTS_INSTANCE) !== 0
  }

  get kind(): SessionStart['kind'] {
    if (this.isMesh) return 'sibling'
    return this.isProber ? 'prober' : 'client'
  }

  get isProber(): boolean {
    return (this.#flags & PresenceFlag.prober) !== 0
  }

  get way(): SessionStart['way'] {
    if (this.#link.isWebSocket) return 'websocket'
    return (this.#flags & FAST_START) === 0 ? 'derp' : 'fast_start'
  }

  /** How watchers are told that it is here, as a PeerPresent frame. */
  get presentFrame(): Uint8Array {
    const flags = this.#flags & PRESENCE_FLAGS
    return peerPresentFrame({
      key: this.key,
      ...this.#link.remote,
      flags: flags === 0 ? PresenceFlag.regular : flags,
      appName: this.appName,
    })
  }

  /**
   * It notes that this relay is its home, or is not any more. Returns false if nothing has changed.
   *
   * @param ageMs since the connection was accepted
   */
  noteHome(isHome: boolean, ageMs: number, counters: Counters): boolean {
    if (isHome === this.isHome) return false
    this.isHome = isHome
    counters.add(Counter.clientsHome, isHome ? 1 : -1)
    if (ageMs > HOME_MOVE_AFTER_MS) counters.add(isHome ? Counter.homeMovesIn : Counter.homeMovesOut, 1)
    return true
  }

  /** Adds it to the gauges, or removes it. */
  count(counters: Counters, by: 1 | -1): void {
    counters.add(Counter.clientsCurrent, by)
    if (this.isMesh) counters.add(Counter.siblingsCurrent, by)
    if (this.isHome) counters.add(Counter.clientsHome, by)
    if ((this.#flags & PresenceFlag.notIdeal) !== 0) counters.add(Counter.clientsNotIdeal, by)
    if (this.isProber) counters.add(Counter.clientsProber, by)
    if (this.#link.isWebSocket) counters.add(Counter.clientsWebSocket, by)
  }
}

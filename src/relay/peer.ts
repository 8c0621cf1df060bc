// One node key that this thread deals with: connected with one or more sessions on this thread, or on others, or
// both; or not to this relay at all but to a sibling. Knows which of them receives packets, and who must be told when
// the key leaves. Not the table that finds it, and not the policy: `peer-registry.ts` changes it.

import type { ForwardTarget } from './ports.ts'
import type { Session } from './session.ts'

/** In place of a relay thread's number: this one. */
export const LOCAL = -1
/** No thread of this relay. */
export const AWAY = -2

/** The same key on another thread of this relay. */
export interface Elsewhere {
  readonly thread: number
  /** When that thread's active session became so, in the relay's common count. */
  claim: number
  /** The last registration there, as a PeerPresent frame for watchers. */
  readonly presentFrame: Uint8Array
  /** A client there has noted this relay as its home. */
  isHome: boolean
}

export class Peer {
  readonly key: Uint8Array
  /** Sessions on this thread in order of activity; the last one is active. */
  sessions: readonly Session[] = []
  /** Where else in this relay the key is connected. */
  readonly elsewhere: Elsewhere[] = []
  /** WorkerHandle whose member receives packets: LOCAL, another's number, or AWAY. */
  thread = AWAY
  /** Where packets go while it is away; kept up to date while it is not, too. */
  route: ForwardTarget | undefined = undefined
  /** A client of this key has noted this relay as its home: those on this thread, and all in the relay. */
  isHomeHere = false
  isHome = false
  /** The session on this thread that receives packets when `thread` is LOCAL. */
  active: Session | undefined = undefined
  /** The key is neither here nor at a sibling any more; whoever remembers this peer must look it up anew. */
  isGone = false
  /** Sessions here that were given a packet of this peer: they are told when it leaves. */
  #hearers: Set<Session> | undefined = undefined
  /** The latest of them, which spares looking it up for each packet of a flow. */
  lastHearer: Session | undefined = undefined

  /** @param key 32 bytes, owned by the peer from now on */
  constructor(key: Uint8Array) {
    this.key = key
  }

  /** Sessions of this key in the whole relay; each other thread counts as one. */
  get registrations(): number {
    return this.sessions.length + this.elsewhere.length
  }

  /** Notes that `session` was given a packet of this peer. */
  heardBy(session: Session): void {
    if (this.lastHearer === session) return
    this.lastHearer = session
    this.#hearers ??= new Set()
    this.#hearers.add(session)
    session.heard ??= new Set()
    session.heard.add(this)
  }

  /** Everybody who was given a packet of this peer; both sides forget it. */
  takeHearers(): readonly Session[] {
    const hearers = this.#hearers === undefined ? [] : [...this.#hearers]
    for (const hearer of hearers) hearer.heard?.delete(this)
    this.#hearers = undefined
    this.lastHearer = undefined
    return hearers
  }

  /** The session ended. */
  forgetHearer(session: Session): void {
    this.#hearers?.delete(session)
    if (this.lastHearer === session) this.lastHearer = undefined
  }

  /** Decides anew which thread and session receive packets: whoever became active last. */
  elect(): void {
    this.active = this.sessions.at(-1)
    this.thread = this.active === undefined ? AWAY : LOCAL
    let latest = this.active?.claim
    for (const other of this.elsewhere) {
      if (latest !== undefined && ((other.claim - latest) | 0) < 0) continue
      latest = other.claim
      this.thread = other.thread
    }
  }
}

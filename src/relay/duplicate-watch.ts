// Which keys have several clients at once on this relay, and since when: a copied machine, or a client whose old connection is dead
// and has not been found dead yet. Tells a copied machine's clients by a Health frame, which they show to their users, and takes
// it back when one connection is left. Who receives packets meanwhile is the policy of `peer-registry.ts`; how
// often that may change is decided here.
//
//   several ─ 5 s ─→ both have sent something since: told       a reconnect is not told: its old connection is silent, and
//      └──────────── 15 s + user timeout ─→ still here: told    the kernel ends it when it does not acknowledge a keepalive
//
// Contract: this thread tells its own sessions. It knows of those of other threads as far as they have told it. Keys that are
// here and at a sibling as well are not looked at: clients of one region may be connected to another one.

import { healthFrame, KEEP_ALIVE_FRAME } from '#protocol/frames.ts'
import { Counter, type Counters } from './counters.ts'
import type { Peer } from './peer.ts'
import type { Recipient } from './recipient.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'

/** A client that reconnects has closed its old connection by then, and what it sent there has arrived. */
const SETTLE_MS = 5_000
/** Beyond the kernel's time limit for what is not acknowledged: it is looked at every five seconds where native calls do not work. */
const MARGIN_MS = 10_000
/** Frames of this watch in one sweep: to hundreds of connections of a key at once they would keep all others waiting. */
const TOLD_PER_SWEEP = 64
/**
 * Of who is active, for one key. Each sends its packets elsewhere, and other threads are told: hundreds of connections that send
 * in turn would take more of the relay than all others. A client that comes back switches once.
 */
const SWITCHES_PER_SECOND = 100
const SWITCHES_AT_ONCE = 32
/** Without that limit, TCP itself gives up later than anybody would wait. */
const SILENT_MS = 120_000
/**
 * Of who is active, to a session of this thread, after SETTLE_MS. The first one may be the return from an old connection's last
 * words; before the second one another connection has sent something.
 */
const SWITCHES_MIN = 2

const PROBLEM_FRAME = healthFrame(
  'another device is connected with the same node key, as a copied machine is; packets reach the one that sent last',
)
const CLEAR_FRAME = healthFrame('')

interface Duplicate {
  /** Its connections, those of another thread counted as one. */
  registrations: number
  /** When its last connection came. */
  sinceMs: number
  /** Those that were sent a keepalive. */
  readonly probed: Set<Recipient>
  switches: number
  readonly switching: TokenBucket
  isTold: boolean
  /** Those that show the problem. */
  readonly told: Set<Recipient>
}

export interface DuplicateWatchParts {
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** How long a remote may leave data unacknowledged; 0: for ever. */
  readonly userTimeoutMs: () => number
}

export class DuplicateWatch {
  readonly #parts: DuplicateWatchParts
  readonly #duplicates = new Map<Peer, Duplicate>()
  /** Of this sweep. */
  #framesLeft = 0

  constructor(parts: DuplicateWatchParts) {
    this.#parts = parts
  }

  /** A connection of the key has come or left, here or on another thread. */
  changed(peer: Peer): void {
    const { registrations } = peer
    const duplicate = this.#duplicates.get(peer)
    if (registrations < 2 || clientsOf(peer).length === 0) {
      if (duplicate !== undefined) this.#end(peer, duplicate)
    } else if (duplicate === undefined || (!duplicate.isTold && registrations > duplicate.registrations)) {
      const sinceMs = this.#parts.now()
      const switching = new TokenBucket(SWITCHES_PER_SECOND, SWITCHES_AT_ONCE, sinceMs)
      const begun = { registrations, sinceMs, switches: 0, switching, isTold: false }
      this.#duplicates.set(peer, { ...begun, probed: new Set(), told: new Set() })
    } else {
      duplicate.registrations = registrations
    }
  }

  /** A connection of the key on this thread has sent something and would become the active one: may it? */
  maySwitch(peer: Peer): boolean {
    const duplicate = this.#duplicates.get(peer)
    if (duplicate === undefined) return true
    const nowMs = this.#parts.now()
    if (!duplicate.switching.tryTake(1, nowMs)) return false
    if (nowMs - duplicate.sinceMs >= SETTLE_MS) duplicate.switches++
    return true
  }

  /** To be called about twice a second. */
  sweep(): void {
    this.#framesLeft = TOLD_PER_SWEEP
    for (const [peer, duplicate] of this.#duplicates) this.#look(peer, duplicate)
  }

  #look(peer: Peer, duplicate: Duplicate): void {
    const ageMs = this.#parts.now() - duplicate.sinceMs
    if (ageMs < SETTLE_MS) return
    // One that is dead does not acknowledge it, and is ended.
    if (!duplicate.isTold) this.#tell(peer, duplicate.probed, KEEP_ALIVE_FRAME)
    if (duplicate.switches < SWITCHES_MIN && ageMs < this.#silentMs && !duplicate.isTold) return
    if (!duplicate.isTold) this.#parts.counters.add(Counter.duplicatesTold, 1)
    duplicate.isTold = true
    this.#tell(peer, duplicate.told, PROBLEM_FRAME)
  }

  /** Tells those clients of the key that are not among `told`; the rest in the next sweep. */
  #tell(peer: Peer, told: Set<Recipient>, frame: Uint8Array): void {
    for (const client of clientsOf(peer)) {
      if (told.has(client)) continue
      if (this.#framesLeft-- <= 0) return
      told.add(client)
      client.tell(frame)
    }
  }

  get #silentMs(): number {
    const timeoutMs = this.#parts.userTimeoutMs()
    return timeoutMs > 0 ? SETTLE_MS + timeoutMs + MARGIN_MS : SILENT_MS
  }

  #end(peer: Peer, { told }: Duplicate): void {
    this.#duplicates.delete(peer)
    for (const client of clientsOf(peer)) if (told.has(client)) client.tell(CLEAR_FRAME)
  }
}

/** A sibling's own key has as many sessions as the sibling has threads. */
function clientsOf({ sessions }: Peer): readonly Recipient[] {
  return sessions.filter(({ isMesh }) => !isMesh)
}

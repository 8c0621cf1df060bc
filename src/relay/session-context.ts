// What a session is made with: what the sessions of one thread have in common, what it asks of the relay that holds it,
// and how its connection came in.

import type { BufferPool } from '#protocol/buffer-pool.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { Counters } from './counters.ts'
import type { PeerRegistry } from './peer-registry.ts'
import type { Forwarder } from './forward.ts'
import type { LoginRules } from './login.ts'
import type { Admission, Flushable, Observer } from './ports.ts'
import type { Session } from './session.ts'
import type { SessionLimits } from './session-limits.ts'
import type { TurnQueue } from './turn-queue.ts'

/** What sessions of one relay thread have in common. */
export interface SessionContext {
  readonly counters: Counters
  readonly pool: BufferPool
  readonly memoryBudget: MemoryBudget
  readonly limits: SessionLimits
  readonly rules: LoginRules
  readonly admission: Admission
  readonly observer: Observer
  readonly registry: PeerRegistry
  readonly forwarder: Forwarder
  readonly now: () => number
  readonly random: (bytes: number) => Uint8Array
  /** Calls back once after so many ms. */
  readonly later: (delayMs: number, callback: () => void) => void
  readonly scheduler: SessionScheduler
  readonly logins: TurnQueue
  /** Takes in what other threads of this relay have said. */
  readonly hear: () => void
}

/** What a session asks of the relay that holds it. */
export interface SessionScheduler {
  flushSoon(session: Flushable): void
  ended(session: Session): void
  closePeerEverywhere(key: Uint8Array): void
}

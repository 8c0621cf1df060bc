// What the sessions of one relay thread are given: limits, memory, and the parts of the relay that they use. Each
// session holds a reference to the one context of its thread.

import type { BufferPool } from '#protocol/buffer-pool.ts'
import type { AddressGuard } from './address-guard.ts'
import type { Counters } from './counters.ts'
import type { FlushQueue } from './flush-queue.ts'
import type { Forwarder } from './forward.ts'
import type { HandOff } from './hand-off.ts'
import type { LoginRules } from './login.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { PeerRegistry } from './peer-registry.ts'
import type { Admission, Observer } from './ports.ts'
import type { Rechecks } from './rechecks.ts'
import type { SessionLimits } from './session-limits.ts'
import type { ListedSession, SessionList } from './session-list.ts'
import type { Tenants } from './tenants.ts'
import type { TurnQueue } from './turn-queue.ts'

export interface SessionContext {
  readonly counters: Counters
  readonly pool: BufferPool
  readonly memoryBudget: MemoryBudget
  /** May be replaced; outboxes read them each time, sessions keep some. */
  limits: SessionLimits
  readonly rules: LoginRules
  /** For logins that have not asked yet; may be replaced. */
  admission: Admission
  readonly observer: Observer
  /** Of clients whose admission holds for a while. */
  readonly rechecks: Rechecks
  readonly registry: PeerRegistry
  readonly forwarder: Forwarder
  readonly handOff: HandOff
  readonly tenants: Tenants
  /** What each address may do. */
  readonly addresses: AddressGuard
  readonly flushQueue: FlushQueue
  /** Where logins wait when many come at once. */
  readonly logins: TurnQueue
  /** A session removes itself when it ends. */
  readonly sessions: Pick<SessionList<ListedSession>, 'delete' | 'markDue'>
  /** Reads what other threads have written, and looks at the clock; to be called before bytes are read. */
  readonly readThreads: () => void
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** That many random bytes. */
  readonly random: (bytes: number) => Uint8Array
  /** Calls back once after so many ms. */
  readonly later: (delayMs: number, callback: () => void) => void
}

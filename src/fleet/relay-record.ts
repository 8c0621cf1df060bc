// What is kept of one relay: its last state, when and how it came, and which runs it had before. Decides which of several
// messages is the newest, and by its own clock how old it is; times of the sender are never compared. One of many in
// `fleet-state.ts`. Has no clock; time is passed in.

import type { RelayState } from './relay-state.ts'

/** `link`: over a mesh link, whose sibling has proven its key; `directory`: over NATS, with the fleet's secret. */
export type StateCarrier = 'link' | 'directory'

/**
 * - `taken`: it is the newest.
 * - `duplicate`: it has come already, for instance over NATS and a link.
 * - `stale`: a newer one has come before it.
 * - `former_run`: of a run that another has replaced.
 */
export type Acceptance = 'taken' | 'duplicate' | 'stale' | 'former_run'

/** Messages that may be missed: one in flight when a link breaks, one while it is dialled, one more. */
const MISSED_MAX = 3
/**
 * From silence to down. Longer than any interval between two messages that is usual, so that of relays that a broken
 * network separates at one moment, all are silent before the first is down.
 */
const GRACE_MS = 10_000
/** Runs that a late message may be of. */
const FORMER_RUNS_MAX = 4
/** Messages of a run that was replaced are late for so long; later ones are of another relay with the same key. */
const LATE_MS = 10_000
/**
 * Messages per second that are read of one relay, from each carrier: it sends one in five seconds. Whoever may use the NATS
 * servers can repeat what was said there, and must not keep out what comes over a link.
 */
const MESSAGES_PER_SECOND = 20
const SECOND_MS = 1_000

/** Silence after which a relay counts as down, when it tells its state this often. */
export function downAfterMs(everyMs: number): number {
  return MISSED_MAX * everyMs + GRACE_MS
}

/** A run that another has replaced, and its last message. */
interface FormerRun {
  readonly instance: string
  last: Pick<RelayState, 'run' | 'sequence'>
}

export class RelayRecord {
  readonly key: string
  #state: RelayState
  #carrier: StateCarrier
  /** When the last message was taken. */
  #heardMs: number
  /** When the last run began to be heard. */
  #runSinceMs: number
  readonly #formerRuns: FormerRun[] = []
  /** Two relays tell different states with this key. */
  #isCopied = false
  /** Fields of the last message that were out of bounds. */
  problems: readonly string[] = []
  #secondStartedMs = -Infinity
  readonly #secondCounts = { link: 0, directory: 0 }

  constructor(state: RelayState, carrier: StateCarrier, nowMs: number) {
    this.key = state.key
    this.#state = state
    this.#carrier = carrier
    this.#heardMs = nowMs
    this.#runSinceMs = nowMs
  }

  get state(): RelayState {
    return this.#state
  }

  get carrier(): StateCarrier {
    return this.#carrier
  }

  /** Another relay has the same key, and tells another state. */
  get isCopied(): boolean {
    return this.#isCopied
  }

  get hasEnded(): boolean {
    return this.#state.health.state === 'ended'
  }

  /** Another run goes on, which may be of a version that tells no state: silence says nothing. */
  get hasHandedOver(): boolean {
    return this.#state.health.state === 'handedOver'
  }

  /** Whether one more message from there may be read in this second. */
  mayBeRead(carrier: StateCarrier, nowMs: number): boolean {
    if (nowMs - this.#secondStartedMs >= SECOND_MS) {
      this.#secondStartedMs = nowMs
      Object.assign(this.#secondCounts, { link: 0, directory: 0 })
    }
    return ++this.#secondCounts[carrier] <= MESSAGES_PER_SECOND
  }

  accept(state: RelayState, carrier: StateCarrier, nowMs: number): Acceptance {
    if (state.instance !== this.#state.instance) {
      const former = this.#formerRuns.find(({ instance }) => instance === state.instance)
      if (former !== undefined && !this.#goesOn(former, state, nowMs)) {
        this.#isCopied ||= nowMs - this.#runSinceMs > LATE_MS
        return 'former_run'
      }
      if (former !== undefined) this.#formerRuns.splice(this.#formerRuns.indexOf(former), 1)
      const { instance, run, sequence } = this.#state
      this.#formerRuns.push({ instance, last: { run, sequence } })
      if (this.#formerRuns.length > FORMER_RUNS_MAX) this.#formerRuns.shift()
      this.#runSinceMs = nowMs
      this.#isCopied = false
    } else {
      const order = compare(state, this.#state)
      // A relay whose numbers have gone back is still there. Over a link nobody can repeat what it said long ago.
      const hasGoneBack = carrier === 'link' && this.#silenceMs(nowMs) > MISSED_MAX * this.#state.everyMs
      if (order === 0) return 'duplicate'
      if (order < 0 && !hasGoneBack) return 'stale'
    }
    this.#state = state
    this.#carrier = carrier
    this.#heardMs = nowMs
    return 'taken'
  }

  /** @param directoryLostMs since when there is no directory; what came over it does not age meanwhile */
  ageMs(nowMs: number, directoryLostMs: number | undefined): number {
    const endMs = this.#carrier === 'directory' ? (directoryLostMs ?? nowMs) : nowMs
    return Math.max(0, this.#silenceMs(endMs))
  }

  /** The directory is back, after `lostMs`: what came over it goes on to age. */
  resume(lostMs: number, nowMs: number): void {
    if (this.#carrier === 'directory') this.#heardMs += nowMs - Math.max(lostMs, this.#heardMs)
  }

  /** Not older than what may be missed. */
  isHeard(nowMs: number, directoryLostMs: number | undefined): boolean {
    if (
      this.hasEnded ||
      this.hasHandedOver ||
      (this.#carrier === 'directory' && directoryLostMs !== undefined)
    )
      return false
    return this.#silenceMs(nowMs) <= MISSED_MAX * this.#state.everyMs
  }

  isDown(nowMs: number, directoryLostMs: number | undefined): boolean {
    if (this.hasHandedOver) return false
    return this.hasEnded || this.ageMs(nowMs, directoryLostMs) > downAfterMs(this.#state.everyMs)
  }

  /**
   * The run says something new, and the one in its place is silent: what came of that one was an old message, which somebody has
   * repeated over the directory.
   */
  #goesOn(former: FormerRun, { run, sequence }: RelayState, nowMs: number): boolean {
    const isNew = compare({ run, sequence }, former.last) > 0
    if (isNew) former.last = { run, sequence }
    return isNew && this.#silenceMs(nowMs) > MISSED_MAX * this.#state.everyMs
  }

  #silenceMs(atMs: number): number {
    return atMs - this.#heardMs
  }
}

function compare(a: Pick<RelayState, 'run' | 'sequence'>, b: Pick<RelayState, 'run' | 'sequence'>): number {
  return a.run === b.run ? a.sequence - b.sequence : a.run - b.run
}

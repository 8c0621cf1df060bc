// Who waits for admission, and whose turn it is. Several sessions that ask the same share one question; a question that
// nobody waits for is dropped. The newest is asked first: under a storm that the back end can't keep up with, a queue in
// order would spend every turn on a client that is about to give up, or has. Runs in the control thread.
//
// Contract: bounded in questions; each waiter is answered at most once, and never after it has cancelled; one whose
// time is up is told so, and not asked for any more.

import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import type { Applicant } from './verifier.ts'

/** Logins of a reconnect storm queue here rather than at the back end, which is often a small program. */
const ASKED_AT_ONCE_MAX = 64
/** Some five megabytes, and more than a relay is meant to log in within the login time limit. */
const WAITING_MAX = 10_000
/** A client that gives up mostly comes again at once, and then finds its question still being asked. */
const ORPHAN_MS = 1_000
/** What asking an unreachable back end takes. Who has waited as long while others found it so need not ask. */
const PATIENCE_MS = 5_000

export interface AdmissionQueueParts {
  /** Asks whoever knows. */
  readonly verify: (applicant: Applicant, signal: AbortSignal) => Promise<AdmissionAnswer>
  /** A fault of ours; whoever waited has been refused. */
  readonly onFault: (error: unknown) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface AdmissionQueueNumbers {
  /** Questions that wait for their turn. */
  readonly waiting: number
  /** Questions that are being asked. */
  readonly asking: number
  /** Of the one that has waited longest for its turn. */
  readonly oldestWaitMs: number
  /** Clients that were refused because too many waited, since the start. */
  readonly overflows: number
}

interface Waiter {
  readonly decide: (answer: AdmissionAnswer) => void
  readonly deadlineMs: number
}

/** One question, and who waits for its answer. */
interface Flight {
  readonly id: string
  readonly applicant: Applicant
  readonly sinceMs: number
  readonly waiters: Set<Waiter>
  /** Undefined while it waits for its turn. */
  asking: AbortController | undefined
  orphanedMs: number | undefined
  isAnswered: boolean
  isOver: boolean
}

export class AdmissionQueue {
  readonly #parts: AdmissionQueueParts
  readonly #flights = new Map<string, Flight>()
  /** Oldest first; some may be over, or asked already. */
  #waiting: Flight[] = []
  #waitingCount = 0
  #askingCount = 0
  #overflows = 0
  /** What the back end was found to be when it was last asked, if it gave no verdict. */
  #lastFailure: AdmissionAnswer | undefined = undefined

  constructor(parts: AdmissionQueueParts) {
    this.#parts = parts
  }

  ask(applicant: Applicant, withinMs: number, decide: (answer: AdmissionAnswer) => void): PendingAdmission {
    // The question names the address, too: a back end may decide by it.
    const id = `${Buffer.from(applicant.key).toString('base64')} ${applicant.source}`
    const flight = this.#flights.get(id) ?? this.#open(id, applicant)
    const waiter = { decide, deadlineMs: this.#parts.now() + withinMs }
    flight.waiters.add(waiter)
    flight.orphanedMs = undefined
    this.#beginNext()
    return { cancel: () => this.#leave(flight, waiter) }
  }

  get numbers(): AdmissionQueueNumbers {
    const oldest = this.#waiting.find(isWaiting)
    return {
      waiting: this.#waitingCount,
      asking: this.#askingCount,
      oldestWaitMs: oldest === undefined ? 0 : this.#parts.now() - oldest.sinceMs,
      overflows: this.#overflows,
    }
  }

  /** To be called a few times a second: does what is due by time. */
  sweep(): void {
    const nowMs = this.#parts.now()
    for (const flight of this.#flights.values()) {
      for (const waiter of flight.waiters) if (nowMs >= waiter.deadlineMs) this.#tellLate(flight, waiter)
      const isOrphan = flight.orphanedMs !== undefined && nowMs - flight.orphanedMs >= ORPHAN_MS
      if (isOrphan) this.#close(flight)
      const isOut = this.#lastFailure !== undefined && nowMs - flight.sinceMs >= PATIENCE_MS
      if (isOut && isWaiting(flight)) this.#settle(flight, this.#lastFailure as AdmissionAnswer)
    }
    this.#beginNext()
  }

  /** Nobody is asked or answered any more. */
  close(): void {
    for (const flight of this.#flights.values()) this.#close(flight)
  }

  #open(id: string, applicant: Applicant): Flight {
    const sinceMs = this.#parts.now()
    const flight: Flight = {
      id,
      applicant,
      sinceMs,
      waiters: new Set(),
      asking: undefined,
      orphanedMs: undefined,
      isAnswered: false,
      isOver: false,
    }
    if (this.#waitingCount >= WAITING_MAX) this.#overflow()
    this.#flights.set(id, flight)
    this.#waiting.push(flight)
    this.#waitingCount++
    return flight
  }

  /** Who has waited longest gives way: it is the one that is nearest to giving up. */
  #overflow(): void {
    const oldest = this.#waiting.find(isWaiting)
    if (oldest === undefined) return
    this.#overflows += oldest.waiters.size
    this.#settle(oldest, {
      result: 'unreachable',
      reason: `more than ${WAITING_MAX} clients wait for admission`,
    })
  }

  #tellLate(flight: Flight, waiter: Waiter): void {
    const seconds = Math.round((this.#parts.now() - flight.sinceMs) / 1_000)
    const others = `${this.#askingCount} are being asked for, ${this.#waitingCount} wait`
    const reason =
      flight.asking === undefined ? `no turn in ${seconds} s: ${others}` : `no answer in ${seconds} s`
    this.#leave(flight, waiter)
    waiter.decide({ result: 'unreachable', reason, isLate: true })
  }

  #leave(flight: Flight, waiter: Waiter): void {
    flight.waiters.delete(waiter)
    if (flight.isOver || flight.waiters.size > 0) return
    if (flight.asking === undefined) this.#close(flight)
    else flight.orphanedMs ??= this.#parts.now()
  }

  #beginNext(): void {
    while (this.#askingCount < ASKED_AT_ONCE_MAX && this.#waitingCount > 0) {
      const newest = this.#waiting.pop()
      if (newest !== undefined && isWaiting(newest)) this.#begin(newest)
    }
    // What is over lies below what is new, and would stay for as long as there is something new.
    if (this.#waiting.length > 2 * this.#waitingCount + ASKED_AT_ONCE_MAX) {
      this.#waiting = this.#waiting.filter(isWaiting)
    }
  }

  #begin(flight: Flight): void {
    const asking = new AbortController()
    flight.asking = asking
    this.#waitingCount--
    this.#askingCount++
    this.#parts
      .verify(flight.applicant, asking.signal)
      .then((answer) => this.#answered(flight, answer))
      .catch((error: unknown) => {
        this.#settle(flight, { result: 'unreachable', reason: 'a fault in the relay' })
        this.#parts.onFault(error)
      })
      .finally(() => this.#beginNext())
  }

  #answered(flight: Flight, answer: AdmissionAnswer): void {
    // One that was broken off says nothing of the back end.
    if (flight.isOver) return
    flight.isAnswered = true
    const isVerdict = answer.result === 'allowed' || answer.result === 'denied'
    this.#lastFailure = isVerdict ? undefined : answer
    this.#settle(flight, answer)
  }

  #settle(flight: Flight, answer: AdmissionAnswer): void {
    if (flight.isOver) return
    const waiters = [...flight.waiters]
    this.#close(flight)
    for (const { decide } of waiters) decide(answer)
  }

  /** The one way out of the queue; gives its place back. */
  #close(flight: Flight): void {
    if (flight.isOver) return
    flight.isOver = true
    flight.waiters.clear()
    this.#flights.delete(flight.id)
    if (flight.asking === undefined) {
      this.#waitingCount--
      return
    }
    this.#askingCount--
    // What has been answered may be about to give its connection back.
    if (!flight.isAnswered) flight.asking.abort()
  }
}

function isWaiting({ asking, isOver }: Flight): boolean {
  return asking === undefined && !isOver
}

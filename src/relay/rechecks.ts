// The clients of a thread whose admission is asked again after a while, and when. A client that is denied then is ended; one
// that a back end says nothing about, because it is away, stays. The first question is session-login.ts's.
//
// Contract: a client that is denied is ended within the time that its answer gave, a second, and the time of one answer.

import type { Budget } from '#protocol/budget.ts'
import type { Admission, RemoteAddress } from './ports.ts'
import { EndReason } from './end-reason.ts'

/** With sixteen sweeps a second, each client is looked at once a second. */
const SWEEP_PARTS = 16
/** Of one question. It is no login, and nobody waits for it. */
const WITHIN_MS = 10_000

/** The session of a client. */
export interface RecheckedSession {
  readonly key: Uint8Array
  readonly remote: RemoteAddress
  /** It has logged in and has not ended. */
  readonly isEstablished: boolean
  /** What admission says of its key from now on; undefined: nothing. */
  useBudget(own: Budget | undefined): void
  end(reason: EndReason, cause?: string): void
}

interface Recheck {
  readonly session: RecheckedSession
  /** Infinite: only when what admission goes by changes. */
  dueMs: number
  isAsked: boolean
}

export class Rechecks {
  readonly #now: () => number
  #all: Recheck[] = []
  #part = 0
  /** How often what admission goes by has changed. */
  #edition = 0

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  get edition(): number {
    return this.#edition
  }

  /** @param edition when the client was asked about: an answer by what counted before is asked for again at once */
  add(session: RecheckedSession, inMs: number, edition: number): void {
    const dueMs = edition === this.#edition ? this.#now() + inMs : -Infinity
    this.#all.push({ session, dueMs, isAsked: false })
  }

  /** What admission goes by has changed: it is asked about all clients within a second. */
  hasten(): void {
    this.#edition++
    for (const recheck of this.#all) recheck.dueMs = -Infinity
  }

  /** To be called sixteen times a second. */
  sweep(admission: Admission): void {
    this.#part = (this.#part + 1) % SWEEP_PARTS
    const nowMs = this.#now()
    for (let at = this.#part; at < this.#all.length; at += SWEEP_PARTS) {
      const recheck = this.#all[at] as Recheck
      if (nowMs < recheck.dueMs || recheck.isAsked || !recheck.session.isEstablished) continue
      this.#ask(recheck, admission)
    }
    if (this.#part === 0) this.#all = this.#all.filter(({ session }) => session.isEstablished)
  }

  #ask(recheck: Recheck, admission: Admission): void {
    recheck.isAsked = true
    const edition = this.#edition
    const { session } = recheck
    const { key, remote } = session
    admission.ask({ key, remote, withinMs: WITHIN_MS, isHere: true }, (answer) => {
      const { result, reason, budget, recheckInMs } = answer
      recheck.isAsked = false
      if (result === 'denied') return session.end(EndReason.admissionEnded, reason)
      if (result === 'denied_by_operator') return session.end(EndReason.kicked, reason)
      if (result !== 'unreachable') session.useBudget(budget)
      if (edition === this.#edition) recheck.dueMs = this.#now() + (recheckInMs ?? Infinity)
    })
  }
}

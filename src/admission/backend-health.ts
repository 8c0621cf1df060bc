// Whether a back end of admission works, as seen by the questions that it is asked anyway: an outage begins when it has
// failed for a while, more than once, and ends with the first answer that is one. While it fails it is also asked by the
// relay itself, with the relay's own key, since clients may stay away just because of the outage.
//
// One failure is no outage: a verifier that is restarted, or one answer that is late, silences nothing.

import { ALLOWED, type Applicant, type VerifierResult, type Verifier } from './verifier.ts'

/** It must have failed for so long … */
const FAILING_MS = 3_000
/** … and again when it was asked after it was seen to fail: 64 questions at once that time out are one failure. */
const ROUNDS = 2
/** Gentle, and soon enough that STUN is silent no longer than need be. */
const PROBE_EVERY_MS = 2_000

export interface Outage {
  readonly backEnd: Verifier['name']
  /** Of the last failure. */
  readonly cause: string
  readonly sinceMs: number
}

export interface BackendHealthParts {
  readonly verifier: Verifier
  /** Whom the relay asks for by itself. */
  readonly self: Applicant
  readonly onOutage: (outage: Outage) => void
  readonly onReturn: (outage: Outage) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class BackendHealth implements Verifier {
  readonly name: Verifier['name']
  readonly #parts: BackendHealthParts
  /** Since it has not worked; undefined while it does. */
  #failingSinceMs: number | undefined = undefined
  #cause = ''
  #rounds = 0
  #roundEndedMs = 0
  #isOut = false
  #isProbing = false
  #probedMs = 0
  readonly #closed = new AbortController()

  constructor(parts: BackendHealthParts) {
    this.#parts = parts
    this.name = parts.verifier.name
  }

  get outage(): Outage | undefined {
    return this.#isOut ? this.#outageNow() : undefined
  }

  async verify(applicant: Applicant, signal: AbortSignal): Promise<VerifierResult> {
    const startedMs = this.#parts.now()
    const verdict = await this.#parts.verifier.verify(applicant, signal)
    if (!signal.aborted) this.#note(verdict, startedMs)
    return verdict
  }

  /** To be called a few times a second. */
  sweep(): void {
    const nowMs = this.#parts.now()
    if (this.#failingSinceMs === undefined || this.#isProbing || nowMs - this.#probedMs < PROBE_EVERY_MS)
      return
    void this.#probe()
  }

  close(): void {
    this.#closed.abort()
  }

  async #probe(): Promise<void> {
    this.#isProbing = true
    await this.verify(this.#parts.self, this.#closed.signal).catch(() => ALLOWED)
    this.#isProbing = false
    this.#probedMs = this.#parts.now()
  }

  #note({ kind, reason }: VerifierResult, startedMs: number): void {
    if (kind === 'allowed' || kind === 'denied') return this.#works()
    const nowMs = this.#parts.now()
    this.#cause = reason
    if (this.#failingSinceMs === undefined) {
      this.#failingSinceMs = nowMs
      this.#probedMs = nowMs
    }
    if (this.#rounds === 0 || startedMs >= this.#roundEndedMs) {
      this.#rounds++
      this.#roundEndedMs = nowMs
    }
    if (this.#isOut || this.#rounds < ROUNDS || nowMs - this.#failingSinceMs < FAILING_MS) return
    this.#isOut = true
    this.#parts.onOutage(this.#outageNow())
  }

  #works(): void {
    const before = this.#outageNow()
    const wasOut = this.#isOut
    this.#failingSinceMs = undefined
    this.#rounds = 0
    this.#isOut = false
    if (wasOut) this.#parts.onReturn(before)
  }

  #outageNow(): Outage {
    return { backEnd: this.name, cause: this.#cause, sinceMs: this.#failingSinceMs ?? this.#parts.now() }
  }
}

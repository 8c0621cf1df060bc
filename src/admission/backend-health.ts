// Whether one admission backend works, judged by the requests that it gets anyway. An outage begins after several failures
// over some seconds and ends with the first decision. While the backend fails, the relay also asks about its own key,
// since an outage may keep clients away. Runs on the control thread.
//
// One failure is no outage: a backend that restarts, or one late answer, does not silence STUN.

import { ALLOWED, type VerifyRequest, type VerifierResult, type Verifier } from './verifier.ts'

/** An outage begins after the backend has failed for this long … */
const FAILING_MS = 3_000
/** … and again in a request made after a failure was known: 64 simultaneous requests that time out are one failure. */
const ROUNDS = 2
/** Little load for the backend, and short enough that STUN is not silent for longer than necessary. */
const PROBE_EVERY_MS = 2_000

export interface Outage {
  readonly backend: Verifier['name']
  /** The reason of the last failure. */
  readonly cause: string
  readonly sinceMs: number
}

export interface BackendHealthParts {
  readonly verifier: Verifier
  /** The relay's own request during a failure. */
  readonly probe: VerifyRequest
  readonly onOutage: (outage: Outage) => void
  readonly onRecovery: (outage: Outage) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class BackendHealth implements Verifier {
  readonly name: Verifier['name']
  readonly #parts: BackendHealthParts
  /** The time of the first failure; undefined while the backend works. */
  #failingSinceMs: number | undefined = undefined
  #hasDecided = false
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

  /** The time of the first failure; undefined while the backend works. */
  get failingSinceMs(): number | undefined {
    return this.#failingSinceMs
  }

  /** It has made a decision, about whichever key. */
  get hasDecided(): boolean {
    return this.#hasDecided
  }

  get outage(): Outage | undefined {
    return this.#isOut ? this.#outageNow() : undefined
  }

  async verify(request: VerifyRequest, signal: AbortSignal): Promise<VerifierResult> {
    const startedMs = this.#parts.now()
    const result = await this.#parts.verifier.verify(request, signal)
    if (!signal.aborted) this.#note(result, startedMs)
    return result
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
    await this.verify(this.#parts.probe, this.#closed.signal).catch(() => ALLOWED)
    this.#isProbing = false
    this.#probedMs = this.#parts.now()
  }

  #note({ kind, reason }: VerifierResult, startedMs: number): void {
    if (kind === 'allowed' || kind === 'denied') return this.#noteDecision()
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

  #noteDecision(): void {
    this.#hasDecided = true
    const outage = this.#outageNow()
    const wasOut = this.#isOut
    this.#failingSinceMs = undefined
    this.#rounds = 0
    this.#isOut = false
    if (wasOut) this.#parts.onRecovery(outage)
  }

  #outageNow(): Outage {
    return { backend: this.name, cause: this.#cause, sinceMs: this.#failingSinceMs ?? this.#parts.now() }
  }
}

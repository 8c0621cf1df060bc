// Admission on the control thread: answers the questions of all relay threads, and reports outages of the backends. Only
// composes: the order of questions is in queue.ts, outages are in backend-health.ts, requests are in the verifiers.
//
// Contract: every configured backend must allow a client. Only an unreachable URL may fail open, and only by the
// operator's option: never a backend that answers anything else, and never a fault of this host.

import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import { BackendHealth, type Outage } from './backend-health.ts'
import { AdmissionQueue, type AdmissionQueueNumbers } from './queue.ts'
import type { AdmissionQuestion } from './remote-admission.ts'
import { TailscaledVerifier } from './tailscaled-verifier.ts'
import { UrlVerifier } from './url-verifier.ts'
import type { Environment, VerifierResult, Verifier, VerifyRequest } from './verifier.ts'

/** Interval at which time limits are applied. */
const SWEEP_MS = 250

export interface AdmissionPolicy {
  readonly verifyUrl: string | undefined
  readonly verifyUrlFailOpen: boolean
  readonly tailscaledSocket: string | undefined
}

export interface AdmissionServiceParts {
  readonly policy: AdmissionPolicy
  readonly env: Environment
  /** The relay's own public key, about which it asks during an outage. */
  readonly ownKey: Uint8Array
  /** `admitsAll`: the backend fails open. */
  readonly onOutage: (outage: Outage, admitsAll: boolean) => void
  readonly onRecovery: (outage: Outage) => void
  readonly onFault: (error: unknown) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface AdmissionServiceNumbers extends AdmissionQueueNumbers {
  readonly backends: readonly { readonly name: string; readonly isUp: boolean }[]
}

export class AdmissionService {
  readonly name = 'admission'
  readonly #parts: AdmissionServiceParts
  #policy: AdmissionPolicy
  /** In the order of their requests. */
  #backends: readonly BackendHealth[]
  readonly #queue: AdmissionQueue
  /** By thread and question id. */
  readonly #pending = new Map<number, Map<number, PendingAdmission>>()
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: AdmissionServiceParts) {
    this.#parts = parts
    this.#policy = parts.policy
    this.#backends = verifiersOf(parts.policy, parts.env).map((verifier) => this.#watch(verifier))
    this.#queue = new AdmissionQueue({
      verify: async (request, signal) => await this.#decide(request, signal),
      onFault: parts.onFault,
      now: parts.now,
    })
  }

  /** Applies to questions that are asked from now on. @throws WebAddressError for an invalid URL; then nothing changes */
  setPolicy(policy: AdmissionPolicy): void {
    const before = this.#policy
    const verifiers = verifiersOf(policy, this.#parts.env)
    this.#policy = policy
    const old = this.#backends
    // A backend that stays keeps what is known of its health.
    this.#backends = verifiers.map((verifier) => {
      const isSame =
        verifier.name === 'url'
          ? policy.verifyUrl === before.verifyUrl
          : policy.tailscaledSocket === before.tailscaledSocket
      return (isSame ? old.find(({ name }) => name === verifier.name) : undefined) ?? this.#watch(verifier)
    })
    for (const backend of old) if (!this.#backends.includes(backend)) backend.close()
    this.#queue.forgetFailure()
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS)
  }

  /** @param answered is called at most once, at once or later */
  ask(thread: number, question: AdmissionQuestion, answered: (answer: AdmissionAnswer) => void): void {
    const { id, key, source, withinMs } = question
    const ofThread = this.#pending.get(thread) ?? new Map<number, PendingAdmission>()
    this.#pending.set(thread, ofThread)
    const pending = this.#queue.ask({ key, source }, withinMs, (answer) => {
      ofThread.delete(id)
      answered(answer)
    })
    ofThread.set(id, pending)
  }

  cancel(thread: number, id: number): void {
    const ofThread = this.#pending.get(thread)
    ofThread?.get(id)?.cancel()
    ofThread?.delete(id)
  }

  /** A relay thread has died, and its questions with it. */
  forget(thread: number): void {
    for (const pending of this.#pending.get(thread)?.values() ?? []) pending.cancel()
    this.#pending.delete(thread)
  }

  /** For /readyz: fails while no client can be admitted. */
  check(): { isOk: boolean; detail: string } {
    const outages = this.#backends.map(({ outage }) => outage).filter((outage) => outage !== undefined)
    if (outages.length === 0) return { isOk: true, detail: this.#queueText() }
    const details = outages.map(({ backend, cause, sinceMs }) => {
      const seconds = Math.round((this.#parts.now() - sinceMs) / 1_000)
      const effect = this.#admitsAll(backend) ? '; all clients are admitted' : ''
      return `backend ${backend} down for ${seconds} s: ${cause}${effect}`
    })
    return { isOk: outages.every(({ backend }) => this.#admitsAll(backend)), detail: details.join('; ') }
  }

  get numbers(): AdmissionServiceNumbers {
    const backends = this.#backends.map(({ name, outage }) => ({ name, isUp: outage === undefined }))
    return { ...this.#queue.numbers, backends }
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#queue.close()
    for (const backend of this.#backends) backend.close()
  }

  #sweep(): void {
    this.#queue.sweep()
    for (const backend of this.#backends) backend.sweep()
  }

  async #decide(request: VerifyRequest, signal: AbortSignal): Promise<AdmissionAnswer> {
    let answer: AdmissionAnswer = { result: 'allowed', reason: '' }
    for (const backend of this.#backends) {
      const result = await backend.verify(request, signal)
      answer = answerOf(result, this.#admitsAll(backend.name))
      if (answer.result !== 'allowed') return answer
    }
    return answer
  }

  /** Whether the backend fails open when it can't be reached. */
  #admitsAll(backend: Verifier['name']): boolean {
    return backend === 'url' && this.#policy.verifyUrlFailOpen
  }

  #queueText(): string {
    const { waiting, asking } = this.#queue.numbers
    return `questions: ${asking} at the backend, ${waiting} in the queue`
  }

  #watch(verifier: Verifier): BackendHealth {
    const { ownKey, onOutage, onRecovery, now } = this.#parts
    return new BackendHealth({
      verifier,
      probe: { key: ownKey, source: '' },
      onOutage: (outage) => onOutage(outage, this.#admitsAll(outage.backend)),
      onRecovery,
      now,
    })
  }
}

/** tailscaled is asked first, as by derper. */
function verifiersOf({ tailscaledSocket, verifyUrl }: AdmissionPolicy, env: Environment): Verifier[] {
  const byTailscaled = tailscaledSocket === undefined ? [] : [new TailscaledVerifier(tailscaledSocket)]
  return verifyUrl === undefined ? byTailscaled : [...byTailscaled, new UrlVerifier(verifyUrl, env)]
}

function answerOf({ kind, reason }: VerifierResult, failsOpen: boolean): AdmissionAnswer {
  if (kind === 'allowed' || kind === 'denied') return { result: kind, reason }
  return { result: kind === 'unreachable' && failsOpen ? 'failed_open' : 'unreachable', reason }
}

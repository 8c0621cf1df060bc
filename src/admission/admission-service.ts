// Admission at the control thread: takes the questions of all relay threads, has them asked in turn, and knows whether
// the back ends work. Composes; who is asked when is `queue.ts`, what an outage is `backend-health.ts`, how a back end is
// asked the verifiers'.
//
// All back ends that are configured must agree. Only a URL that can't be reached may fail open, and only where the
// operator chose so: never one that answers something else, and never for a fault of ours.

import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import { BackendHealth, type Outage } from './backend-health.ts'
import { AdmissionQueue, type AdmissionQueueNumbers } from './queue.ts'
import type { AdmissionQuestion } from './remote-admission.ts'
import { TailscaledVerifier } from './tailscaled-verifier.ts'
import { UrlVerifier } from './url-verifier.ts'
import type { Applicant, VerifierResult, Verifier } from './verifier.ts'

/** How often what is due by time is looked for. */
const SWEEP_MS = 250

export interface AdmissionPolicy {
  readonly verifyUrl: string | undefined
  readonly verifyUrlFailOpen: boolean
  readonly tailscaledSocket: string | undefined
}

export interface AdmissionServiceParts {
  readonly policy: AdmissionPolicy
  /** The environment, which names proxies and trusted certificates. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** The relay's own public key, which it asks for during an outage. */
  readonly ownKey: Uint8Array
  /** `admitsAll`: it fails open. */
  readonly onOutage: (outage: Outage, admitsAll: boolean) => void
  readonly onReturn: (outage: Outage) => void
  readonly onFault: (error: unknown) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface AdmissionNumbers extends AdmissionQueueNumbers {
  readonly backends: readonly { readonly name: string; readonly isUp: boolean }[]
}

export class AdmissionService {
  readonly name = 'admission'
  readonly #parts: AdmissionServiceParts
  /** In the order in which they are asked. */
  readonly #backEnds: readonly BackendHealth[]
  readonly #queue: AdmissionQueue
  /** By thread and number. */
  readonly #askings = new Map<number, Map<number, PendingAdmission>>()
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: AdmissionServiceParts) {
    this.#parts = parts
    this.#backEnds = verifiersOf(parts).map((verifier) => this.#watch(verifier))
    this.#queue = new AdmissionQueue({
      verify: async (applicant, signal) => await this.#decide(applicant, signal),
      onFault: parts.onFault,
      now: parts.now,
    })
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS)
  }

  /** @param answered is called at most once, at once or later */
  ask(thread: number, question: AdmissionQuestion, answered: (answer: AdmissionAnswer) => void): void {
    const { id, key, source, withinMs } = question
    const ofThread = this.#askings.get(thread) ?? new Map<number, PendingAdmission>()
    this.#askings.set(thread, ofThread)
    const asking = this.#queue.ask({ key, source }, withinMs, (answer) => {
      ofThread.delete(id)
      answered(answer)
    })
    ofThread.set(id, asking)
  }

  cancel(thread: number, id: number): void {
    const ofThread = this.#askings.get(thread)
    ofThread?.get(id)?.cancel()
    ofThread?.delete(id)
  }

  /** A relay thread has died, and all that it asked for with it. */
  forget(thread: number): void {
    for (const asking of this.#askings.get(thread)?.values() ?? []) asking.cancel()
    this.#askings.delete(thread)
  }

  /** For /readyz: fails while nobody could be let in. */
  check(): { isOk: boolean; detail: string } {
    const outages = this.#backEnds.map(({ outage }) => outage).filter((outage) => outage !== undefined)
    if (outages.length === 0) return { isOk: true, detail: this.#queueText() }
    const details = outages.map(({ backEnd, cause, sinceMs }) => {
      const seconds = Math.round((this.#parts.now() - sinceMs) / 1_000)
      const effect = this.#admitsAll(backEnd) ? '; all clients are admitted' : ''
      return `backend ${backEnd} down for ${seconds} s: ${cause}${effect}`
    })
    return { isOk: outages.every(({ backEnd }) => this.#admitsAll(backEnd)), detail: details.join('; ') }
  }

  get numbers(): AdmissionNumbers {
    const backends = this.#backEnds.map(({ name, outage }) => ({ name, isUp: outage === undefined }))
    return { ...this.#queue.numbers, backends }
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#queue.close()
    for (const backEnd of this.#backEnds) backEnd.close()
  }

  #sweep(): void {
    this.#queue.sweep()
    for (const backEnd of this.#backEnds) backEnd.sweep()
  }

  async #decide(applicant: Applicant, signal: AbortSignal): Promise<AdmissionAnswer> {
    let answer: AdmissionAnswer = { result: 'allowed', reason: '' }
    for (const backEnd of this.#backEnds) {
      const verdict = await backEnd.verify(applicant, signal)
      answer = answerOf(verdict, this.#admitsAll(backEnd.name))
      if (answer.result !== 'allowed') return answer
    }
    return answer
  }

  /** While it can't be reached. */
  #admitsAll(backEnd: Verifier['name']): boolean {
    return backEnd === 'url' && this.#parts.policy.verifyUrlFailOpen
  }

  #queueText(): string {
    const { waiting, asking } = this.#queue.numbers
    return `questions: ${asking} at the backend, ${waiting} in the queue`
  }

  #watch(verifier: Verifier): BackendHealth {
    const { ownKey, onOutage, onReturn, now } = this.#parts
    return new BackendHealth({
      verifier,
      self: { key: ownKey, source: '' },
      onOutage: (outage) => onOutage(outage, this.#admitsAll(outage.backEnd)),
      onReturn,
      now,
    })
  }
}

/** tailscaled comes first, as with derper. */
function verifiersOf({ policy, env }: AdmissionServiceParts): Verifier[] {
  const { tailscaledSocket, verifyUrl } = policy
  const byTailscaled = tailscaledSocket === undefined ? [] : [new TailscaledVerifier(tailscaledSocket)]
  return verifyUrl === undefined ? byTailscaled : [...byTailscaled, new UrlVerifier(verifyUrl, env)]
}

function answerOf({ kind, reason }: VerifierResult, failsOpen: boolean): AdmissionAnswer {
  if (kind === 'allowed' || kind === 'denied') return { result: kind, reason }
  return { result: kind === 'unreachable' && failsOpen ? 'failed_open' : 'unreachable', reason }
}

// Admission on the control thread: answers the questions of all relay threads, and reports outages of the backends. Only
// composes: what is known without a backend is in known-keys.ts, the order of questions in queue.ts, outages are in
// backend-health.ts, requests are in the verifiers.
//
// Contract: every configured backend must allow a client that is not known otherwise. Only an unreachable URL may fail open, and
// only by the operator's option: never a backend that answers anything else, and never a fault of this host.

import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import type { BanCounts } from './bans.ts'
import { BackendHealth, type Outage } from './backend-health.ts'
import { KnownKeys, type KnownKeysPolicy } from './known-keys.ts'
import { AdmissionQueue, type AdmissionQueueNumbers } from './queue.ts'
import type { AdmissionQuestion } from './remote-admission.ts'
import { TailscaledVerifier } from './tailscaled-verifier.ts'
import { UrlVerifier } from './url-verifier.ts'
import type { Environment, VerifierResult, Verifier, VerifyRequest } from './verifier.ts'

/** Interval at which time limits are applied. */
const SWEEP_MS = 250
/** A client that the backend has admitted before waits no longer for it: it is admitted, and asked about again. */
const PATIENCE_MS = 250

export interface AdmissionPolicy extends KnownKeysPolicy {
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
  /** From 0 to 1. */
  readonly random: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface AdmissionServiceNumbers extends AdmissionQueueNumbers {
  readonly backends: readonly { readonly name: string; readonly isUp: boolean }[]
  /** Keys that a backend has admitted, and those of the operator's list. */
  readonly knownKeys: number
  readonly listedKeys: number
  /** Keys that an operator denies. */
  readonly bans: BanCounts
  /** Of the time for which known keys are admitted in an outage, from 0 to 1; undefined: they are not, or nobody needs to be asked. */
  readonly graceLeftRatio: number | undefined
}

export class AdmissionService {
  readonly name = 'admission'
  readonly #parts: AdmissionServiceParts
  #policy: AdmissionPolicy
  /** In the order of their requests. */
  #backends: readonly BackendHealth[]
  readonly #queue: AdmissionQueue
  /** What needs no backend. */
  readonly known: KnownKeys
  /** By thread and question id. */
  readonly #pending = new Map<number, Map<number, PendingAdmission>>()
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: AdmissionServiceParts) {
    this.#parts = parts
    this.#policy = parts.policy
    this.known = new KnownKeys(parts.policy, parts)
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
    this.known.setPolicy(policy)
    if (policy.verifyUrl !== before.verifyUrl || policy.tailscaledSocket !== before.tailscaledSocket)
      this.known.memory.clear()
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
    const answer = this.#answerAtOnce(question)
    if (answer !== undefined) return answered(answer)
    const { id, key, source, withinMs, isHere } = question
    const ofThread = this.#pending.get(thread) ?? new Map<number, PendingAdmission>()
    this.#pending.set(thread, ofThread)
    const settle = (settled: AdmissionAnswer): void => {
      clearTimeout(impatience)
      ofThread.delete(id)
      answered(settled)
    }
    const pending = this.#queue.ask({ key, source }, withinMs, (asked) => {
      const isSilent = asked.result === 'unreachable'
      const meanwhile = isSilent
        ? (this.known.answerMeanwhile(key) ?? this.known.answerEnded(key))
        : undefined
      settle(meanwhile ?? this.known.noted(key, asked))
    })
    const isKnown = !isHere && this.known.answerMeanwhile(key) !== undefined
    const impatience = isKnown
      ? setTimeout(() => this.#settleMeanwhile(key, pending, settle), PATIENCE_MS)
      : undefined
    const cancel = (): void => {
      clearTimeout(impatience)
      pending.cancel()
    }
    ofThread.set(id, { cancel })
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
    const { graceLeftMs } = this.known
    // Clients that are at home here can't move without the control plane: the relay stays theirs.
    const isGraceful = this.known.isGraceful && graceLeftMs !== undefined && graceLeftMs > 0
    const details = outages.map(({ backend, cause, sinceMs }) => {
      const seconds = Math.round((this.#parts.now() - sinceMs) / 1_000)
      const effect = this.#admitsAll(backend)
        ? '; all clients are admitted'
        : isGraceful
          ? `; ${this.known.memory.size} known keys are admitted for ${Math.round(graceLeftMs / 1_000)} s more`
          : ''
      return `backend ${backend} down for ${seconds} s: ${cause}${effect}`
    })
    return {
      isOk: isGraceful || outages.every(({ backend }) => this.#admitsAll(backend)),
      detail: details.join('; '),
    }
  }

  get numbers(): AdmissionServiceNumbers {
    const backends = this.#backends.map(({ name, outage }) => ({ name, isUp: outage === undefined }))
    const { memory, listSize, bans } = this.known
    const keys = { knownKeys: memory.size, listedKeys: listSize, bans: bans.counts }
    const graceLeftRatio = backends.length === 0 ? undefined : this.known.graceLeftRatio
    return { ...this.#queue.numbers, backends, ...keys, graceLeftRatio }
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#queue.close()
    for (const backend of this.#backends) backend.close()
  }

  #sweep(): void {
    this.#queue.sweep()
    for (const backend of this.#backends) backend.sweep()
    this.known.sweep()
    this.#noteFailing()
  }

  /** The grace begins with the first failure of any backend, and is over when all of them decide again. */
  #noteFailing(): void {
    const failing = this.#backends
      .map(({ failingSinceMs }) => failingSinceMs)
      .filter((ms) => ms !== undefined)
    const since = this.known.failingSinceMs
    if (failing.length > 0) this.known.setFailing(Math.min(since ?? Infinity, ...failing))
    else if (this.#backends.every(({ hasDecided }) => hasDecided)) this.known.setFailing(undefined)
  }

  #answerAtOnce({ key, isHere }: AdmissionQuestion): AdmissionAnswer | undefined {
    const known = this.known.answer(key, isHere)
    if (known !== undefined) return known
    if (this.#backends.length === 0) return { result: 'denied', reason: this.known.refusalOf(key) }
    this.#noteFailing()
    const isOut = this.#backends.some(({ outage }) => outage !== undefined)
    return isOut ? this.known.answerMeanwhile(key) : undefined
  }

  /** The backend takes its time. */
  #settleMeanwhile(
    key: Uint8Array,
    pending: PendingAdmission,
    settle: (answer: AdmissionAnswer) => void,
  ): void {
    const answer = this.known.answerMeanwhile(key)
    if (answer === undefined) return
    pending.cancel()
    settle(answer)
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

function answerOf({ kind, reason, budget }: VerifierResult, failsOpen: boolean): AdmissionAnswer {
  if (kind === 'allowed') return { result: kind, reason, budget }
  if (kind === 'denied') return { result: kind, reason }
  return { result: kind === 'unreachable' && failsOpen ? 'failed_open' : 'unreachable', reason }
}

// The order in which clients are verified. Sessions with the same key and address share one question, and a question
// without waiting sessions is dropped. The newest question goes first: in a storm that the backend cannot keep up with,
// the oldest client is the one that is about to give up, or has. Runs on the control thread.
//
// Contract: the number of questions is bounded. Each waiter is answered at most once and never after it has cancelled. A
// waiter whose time is up is refused, and no question is asked for it any more.

import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import type { VerifyRequest } from './verifier.ts'

/** Logins of a reconnect storm queue here rather than at the backend, which is often a small program. */
const ASKING_MAX = 64
/** About five megabytes, and more than a relay can log in within the login time limit. */
const WAITING_MAX = 10_000
/** A client that gives up usually reconnects at once, and then finds its question still being asked. */
const ORPHAN_MS = 1_000
/** The time that an unreachable backend takes. A client that has waited as long gets the latest failure for its answer. */
const PATIENCE_MS = 5_000

export interface AdmissionQueueParts {
  /** Asks the backends. */
  readonly verify: (request: VerifyRequest, signal: AbortSignal) => Promise<AdmissionAnswer>
  /** A fault of this program. The clients concerned have been refused. */
  readonly onFault: (error: unknown) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface AdmissionQueueNumbers {
  /** Questions in the queue. */
  readonly waiting: number
  /** Questions that a backend is answering. */
  readonly asking: number
  /** Age of the oldest question in the queue. */
  readonly oldestWaitMs: number
  /** Clients refused because the queue was full, since the start. */
  readonly overflows: number
}

/** A session that waits for its answer. */
interface Waiter {
  readonly decide: (answer: AdmissionAnswer) => void
  readonly deadlineMs: number
}

/** One question and the sessions that wait for its answer. */
interface Question {
  readonly id: string
  readonly request: VerifyRequest
  readonly sinceMs: number
  readonly waiters: Set<Waiter>
  /** Aborts the request to the backends; undefined while the question is in the queue. */
  asking: AbortController | undefined
  orphanedMs: number | undefined
  isAnswered: boolean
  isOver: boolean
}

export class AdmissionQueue {
  readonly #parts: AdmissionQueueParts
  readonly #questions = new Map<string, Question>()
  /** Oldest first; some may be over, or asked already. */
  #waiting: Question[] = []
  #waitingCount = 0
  #askingCount = 0
  #overflows = 0
  /** The backends' latest answer, if it was no decision. */
  #lastFailure: AdmissionAnswer | undefined = undefined

  constructor(parts: AdmissionQueueParts) {
    this.#parts = parts
  }

  ask(request: VerifyRequest, withinMs: number, decide: (answer: AdmissionAnswer) => void): PendingAdmission {
    // The address is part of the question: a backend may decide by it.
    const id = `${Buffer.from(request.key).toString('base64')} ${request.source}`
    const question = this.#questions.get(id) ?? this.#open(id, request)
    const waiter = { decide, deadlineMs: this.#parts.now() + withinMs }
    question.waiters.add(waiter)
    question.orphanedMs = undefined
    this.#beginNext()
    return { cancel: () => this.#leave(question, waiter) }
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

  /** The backends are other ones from now on: their predecessors' failure is no answer of theirs. */
  forgetFailure(): void {
    this.#lastFailure = undefined
  }

  /** To be called a few times a second: applies the time limits. */
  sweep(): void {
    const nowMs = this.#parts.now()
    for (const question of this.#questions.values()) {
      for (const waiter of question.waiters) if (nowMs >= waiter.deadlineMs) this.#expire(question, waiter)
      const isOrphan = question.orphanedMs !== undefined && nowMs - question.orphanedMs >= ORPHAN_MS
      if (isOrphan) this.#close(question)
      const isOut = this.#lastFailure !== undefined && nowMs - question.sinceMs >= PATIENCE_MS
      if (isOut && isWaiting(question)) this.#settle(question, this.#lastFailure as AdmissionAnswer)
    }
    this.#beginNext()
  }

  /** Drops all questions; no waiter is answered any more. */
  close(): void {
    for (const question of this.#questions.values()) this.#close(question)
  }

  #open(id: string, request: VerifyRequest): Question {
    const sinceMs = this.#parts.now()
    const question: Question = {
      id,
      request,
      sinceMs,
      waiters: new Set(),
      asking: undefined,
      orphanedMs: undefined,
      isAnswered: false,
      isOver: false,
    }
    if (this.#waitingCount >= WAITING_MAX) this.#overflow()
    this.#questions.set(id, question)
    this.#waiting.push(question)
    this.#waitingCount++
    return question
  }

  /** Refuses the oldest question, whose client is the nearest to giving up. */
  #overflow(): void {
    const oldest = this.#waiting.find(isWaiting)
    if (oldest === undefined) return
    this.#overflows += oldest.waiters.size
    this.#settle(oldest, {
      result: 'unreachable',
      reason: `more than ${WAITING_MAX} clients wait for admission`,
    })
  }

  #expire(question: Question, waiter: Waiter): void {
    const seconds = Math.round((this.#parts.now() - question.sinceMs) / 1_000)
    const others = `${this.#askingCount} questions at the backend, ${this.#waitingCount} in the queue`
    const reason =
      question.asking === undefined ? `no turn in ${seconds} s: ${others}` : `no answer in ${seconds} s`
    this.#leave(question, waiter)
    waiter.decide({ result: 'unreachable', reason, isLate: true })
  }

  #leave(question: Question, waiter: Waiter): void {
    question.waiters.delete(waiter)
    if (question.isOver || question.waiters.size > 0) return
    if (question.asking === undefined) this.#close(question)
    else question.orphanedMs ??= this.#parts.now()
  }

  #beginNext(): void {
    while (this.#askingCount < ASKING_MAX && this.#waitingCount > 0) {
      const newest = this.#waiting.pop()
      if (newest !== undefined && isWaiting(newest)) this.#begin(newest)
    }
    // Questions that are over lie below newer ones, and would stay as long as new ones come.
    if (this.#waiting.length > 2 * this.#waitingCount + ASKING_MAX) {
      this.#waiting = this.#waiting.filter(isWaiting)
    }
  }

  #begin(question: Question): void {
    const asking = new AbortController()
    question.asking = asking
    this.#waitingCount--
    this.#askingCount++
    this.#parts
      .verify(question.request, asking.signal)
      .then((answer) => this.#answered(question, answer))
      .catch((error: unknown) => {
        this.#settle(question, { result: 'unreachable', reason: 'a fault in the relay' })
        this.#parts.onFault(error)
      })
      .finally(() => this.#beginNext())
  }

  #answered(question: Question, answer: AdmissionAnswer): void {
    // An aborted request says nothing about the backend.
    if (question.isOver) return
    question.isAnswered = true
    const isDecision = answer.result === 'allowed' || answer.result === 'denied'
    this.#lastFailure = isDecision ? undefined : answer
    this.#settle(question, answer)
  }

  #settle(question: Question, answer: AdmissionAnswer): void {
    if (question.isOver) return
    const waiters = [...question.waiters]
    this.#close(question)
    for (const { decide } of waiters) decide(answer)
  }

  /** The only way out of the queue; frees the question's place. */
  #close(question: Question): void {
    if (question.isOver) return
    question.isOver = true
    question.waiters.clear()
    this.#questions.delete(question.id)
    if (question.asking === undefined) {
      this.#waitingCount--
      return
    }
    this.#askingCount--
    // After an answer the connection may be about to be reused; an abort would destroy it.
    if (!question.isAnswered) question.asking.abort()
  }
}

function isWaiting({ asking, isOver }: Question): boolean {
  return asking === undefined && !isOver
}

// Admission on a relay thread: sends each question to the control thread and hands its answer back. Decides nothing and
// has no time limit: a session that ends cancels its question.

import { ipToText } from '#protocol/ip-address.ts'
import type { Admission, AdmissionAnswer, PendingAdmission, AdmissionRequest } from '#relay/ports.ts'
import type { TurnQueue } from '#relay/turn-queue.ts'

/** A question on its way to the control thread. */
export interface AdmissionQuestion {
  /** Unique among the questions of one thread. */
  readonly id: number
  readonly key: Uint8Array
  /** The client's IP as text; empty when unknown. */
  readonly source: string
  /** After this time the client gives up. */
  readonly withinMs: number
  /** The client is here already, and is asked about again. */
  readonly isHere: boolean
}

export interface RemoteAdmissionParts {
  /** Sends a question to the control thread; the answer comes by `answered`. */
  readonly ask: (question: AdmissionQuestion) => void
  /** Tells the control thread that an answer is no longer needed. */
  readonly cancel: (id: number) => void
  /** Where answers wait when many come at once. */
  readonly answers: Pick<TurnQueue, 'run'>
}

/** The admission of an open relay. */
export const OPEN_ADMISSION: Admission = {
  ask: (_request, decide) => {
    decide({ result: 'allowed', reason: '' })
    return { cancel: () => undefined }
  },
}

export class RemoteAdmission implements Admission {
  readonly #parts: RemoteAdmissionParts
  readonly #pending = new Map<number, (answer: AdmissionAnswer) => void>()
  #nextId = 0

  constructor(parts: RemoteAdmissionParts) {
    this.#parts = parts
  }

  ask(
    { key, remote, withinMs, isHere }: AdmissionRequest,
    decide: (answer: AdmissionAnswer) => void,
  ): PendingAdmission {
    const id = this.#nextId++
    this.#pending.set(id, decide)
    this.#parts.ask({ id, key, source: ipToText(remote.ip), withinMs, isHere })
    return { cancel: () => this.#cancel(id) }
  }

  /** The control thread's answer. */
  answered(id: number, answer: AdmissionAnswer): void {
    this.#parts.answers.run(() => {
      const decide = this.#pending.get(id)
      this.#pending.delete(id)
      decide?.(answer)
    })
  }

  #cancel(id: number): void {
    if (this.#pending.delete(id)) this.#parts.cancel(id)
  }
}

// Admission as a relay thread knows it: questions go to the control thread, which asks whoever knows, and answers come
// back by number. Decides nothing and has no time limit of its own: a session that ends cancels its question.

import { ipToText } from '#protocol/ip-address.ts'
import type { Admission, AdmissionAnswer, PendingAdmission, AdmissionRequest } from '#relay/ports.ts'

/** A question as it travels to the control thread. */
export interface AdmissionQuestion {
  /** Unique among the questions of one thread. */
  readonly id: number
  readonly key: Uint8Array
  /** The client's IP in text, empty when unknown. */
  readonly source: string
  /** Afterwards nobody listens any more. */
  readonly withinMs: number
}

/** The way to the control thread. */
export interface QuestionLine {
  ask(question: AdmissionQuestion): void
  cancel(id: number): void
}

/** Of a relay that anybody may use. */
export const EVERYBODY: Admission = {
  ask: (_request, decide) => {
    decide({ result: 'allowed', reason: '' })
    return { cancel: () => undefined }
  },
}

export class RemoteAdmission implements Admission {
  readonly #line: QuestionLine
  readonly #waiting = new Map<number, (answer: AdmissionAnswer) => void>()
  #nextId = 0

  constructor(line: QuestionLine) {
    this.#line = line
  }

  ask(
    { key, remote, withinMs }: AdmissionRequest,
    decide: (answer: AdmissionAnswer) => void,
  ): PendingAdmission {
    const id = this.#nextId++
    this.#waiting.set(id, decide)
    this.#line.ask({ id, key, source: ipToText(remote.ip), withinMs })
    return { cancel: () => this.#cancel(id) }
  }

  answered(id: number, answer: AdmissionAnswer): void {
    const decide = this.#waiting.get(id)
    this.#waiting.delete(id)
    decide?.(answer)
  }

  #cancel(id: number): void {
    if (this.#waiting.delete(id)) this.#line.cancel(id)
  }
}

// A relay without sockets whose admission decides only when the test says so.

import type { Admission, AdmissionAnswer, AdmissionRequest } from '#relay/ports.ts'
import { answer, TestRelay, type TestRelayOptions } from './test-relay.ts'

interface Asked {
  readonly request: AdmissionRequest
  readonly decide: (isAllowed: boolean) => void
  readonly answer: (answer: AdmissionAnswer) => void
  isCancelled: boolean
}

/** With what it has asked, in order. */
export function undecided(options: TestRelayOptions = {}): { relay: TestRelay; asked: Asked[] } {
  const asked: Asked[] = []
  const ask: Admission['ask'] = (request, decide) => {
    const one: Asked = {
      request,
      decide: (isAllowed) => decide(answer(isAllowed)),
      answer: decide,
      isCancelled: false,
    }
    asked.push(one)
    return { cancel: () => void (one.isCancelled = true) }
  }
  return { relay: new TestRelay({ ...options, admission: { ask } }), asked }
}

// A relay without sockets whose admission requests are decided by the test.

import type { Admission, AdmissionAnswer, AdmissionRequest } from '#relay/ports.ts'
import { answer, TestRelay, type TestRelayOptions } from './test-relay.ts'

interface PendingRequest {
  readonly request: AdmissionRequest
  readonly decide: (isAllowed: boolean) => void
  readonly answer: (answer: AdmissionAnswer) => void
  isCancelled: boolean
}

/** The relay, and its admission requests in order. */
export function undecided(options: TestRelayOptions = {}): { relay: TestRelay; asked: PendingRequest[] } {
  const asked: PendingRequest[] = []
  const ask: Admission['ask'] = (request, decide) => {
    const pending: PendingRequest = {
      request,
      decide: (isAllowed) => decide(answer(isAllowed)),
      answer: decide,
      isCancelled: false,
    }
    asked.push(pending)
    return { cancel: () => void (pending.isCancelled = true) }
  }
  return { relay: new TestRelay({ ...options, admission: { ask } }), asked }
}

// Admission as a relay thread asks the control thread for it.

import { expect, it } from 'vitest'
import { RemoteAdmission } from '#admission/remote-admission.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { TurnQueue } from '#relay/turn-queue.ts'

const ALLOWED: AdmissionAnswer = { result: 'allowed', reason: '' }
const request = {
  key: new Uint8Array(32),
  remote: { ip: new Uint8Array(16), port: 1 },
  withinMs: 10_000,
  isHere: false,
}

it('thousands of answers at once take a limited time of each turn, and an answer that is cancelled meanwhile is not used', () => {
  let nowMs = 0
  let turn: (() => void) | undefined
  const asked: number[] = []
  const cancelled: number[] = []
  const admission = new RemoteAdmission({
    ask: ({ id }) => asked.push(id),
    cancel: (id) => cancelled.push(id),
    answers: new TurnQueue({
      perTurnMax: Infinity,
      perTurnMs: 2,
      shareOfTurn: 0,
      now: () => nowMs,
      nextTurn: (callback) => (turn = callback),
    }),
  })
  const perTurn: number[] = []
  let inTurn = 0
  const pending = Array.from({ length: 10 }, () =>
    admission.ask(request, () => {
      nowMs++
      inTurn++
    }),
  )
  for (const id of asked) admission.answered(id, ALLOWED)
  pending[9]?.cancel()
  while (turn !== undefined) {
    const run: () => void = turn
    turn = undefined
    perTurn.push(inTurn)
    inTurn = 0
    run()
  }
  perTurn.push(inTurn)
  expect(perTurn.filter((count) => count > 0)).toEqual([2, 2, 2, 2, 1])
  expect(cancelled).toEqual([9])
})

// Clients whose admission is asked again. Answers come when the test gives them.

import { expect, it } from 'vitest'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { alice } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import { noCancel, TestRelay } from '../support/test-relay.ts'

const RECHECK_MS = 300_000
const ALLOWED: AdmissionAnswer = { result: 'allowed', reason: '', recheckInMs: RECHECK_MS }
const DENIED: AdmissionAnswer = { result: 'denied', reason: 'the list of keys denies it' }

class AskedRelay {
  /** Questions without an answer. */
  readonly questions: ((answer: AdmissionAnswer) => void)[] = []
  readonly relay = new TestRelay({
    admission: {
      ask: (_request, decide) => {
        this.questions.push(decide)
        return noCancel
      },
    },
  })

  answer(answer: AdmissionAnswer): void {
    this.questions.shift()?.(answer)
    this.relay.settle()
  }

  /** What admission goes by has changed. */
  change(): void {
    for (const { relay } of this.relay.threads) relay.recheckAdmission()
  }

  logIn(): MemoryClient {
    return this.relay.connect(alice).logIn()
  }
}

it('a client is asked about when its time has come, and at once when what admission goes by has changed', () => {
  const asked = new AskedRelay()
  const client = asked.logIn()
  asked.answer(ALLOWED)
  asked.relay.pass(RECHECK_MS - 2_000)
  expect(asked.questions).toHaveLength(0)
  asked.relay.pass(4_500)
  expect(asked.questions).toHaveLength(1)
  asked.answer(ALLOWED)
  asked.change()
  asked.relay.pass(2_500)
  expect(asked.questions).toHaveLength(1)
  asked.answer(DENIED)
  expect(client.isClosed).toBe(true)
})

it('a client that an operator denies meanwhile is ended as one that was kicked', () => {
  const asked = new AskedRelay()
  const client = asked.logIn()
  asked.answer(ALLOWED)
  asked.change()
  asked.relay.pass(2_500)
  asked.answer({ result: 'denied_by_operator', reason: 'an operator denies it: ticket 7' })
  expect([client.isClosed, asked.relay.lastEnd]).toEqual([true, 'kicked'])
})

it('a change while a client is being asked about is not missed: it is asked about once more', () => {
  const asked = new AskedRelay()
  const client = asked.logIn()
  asked.answer(ALLOWED)
  asked.relay.pass(RECHECK_MS + 2_500)
  expect(asked.questions).toHaveLength(1)
  asked.change()
  asked.answer(ALLOWED)
  asked.relay.pass(2_500)
  expect(asked.questions).toHaveLength(1)
  asked.answer(DENIED)
  expect(client.isClosed).toBe(true)
})

it('nor is one while a login is being asked about', () => {
  const asked = new AskedRelay()
  const client = asked.logIn()
  asked.change()
  asked.answer(ALLOWED)
  expect(client.isClosed).toBe(false)
  asked.relay.pass(2_500)
  expect(asked.questions).toHaveLength(1)
  asked.answer(DENIED)
  expect(client.isClosed).toBe(true)
})

it('nor is one by a client that is else never asked about again', () => {
  const asked = new AskedRelay()
  const client = asked.logIn()
  asked.answer({ ...ALLOWED, recheckInMs: Infinity })
  asked.relay.pass(10 * RECHECK_MS)
  expect(asked.questions).toHaveLength(0)
  asked.change()
  asked.relay.pass(2_500)
  asked.answer({ ...ALLOWED, recheckInMs: Infinity })
  asked.change()
  asked.relay.pass(2_500)
  expect(asked.questions).toHaveLength(1)
  asked.answer(DENIED)
  expect(client.isClosed).toBe(true)
})

import { beforeEach, expect, it } from 'vitest'
import { AdmissionQueue } from '#admission/queue.ts'
import type { VerifyRequest } from '#admission/verifier.ts'
import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import { FakeClock } from '../support/fake-clock.ts'

const LOGIN_MS = 10_000
const ALLOWED: AdmissionAnswer = { result: 'allowed', reason: '' }
const TIMED_OUT: AdmissionAnswer = { result: 'unreachable', reason: 'no answer within 5 s' }

interface Question {
  readonly client: string
  readonly signal: AbortSignal
  readonly answer: (answer: AdmissionAnswer) => void
  readonly fail: (error: Error) => void
}

let clock: FakeClock
let queue: AdmissionQueue
/** The questions that the backend has got, in order. */
let questions: Question[]
let faults: unknown[]
/** The clients' answers, as lines. */
let answers: string[]
/** The lateReasons of late answers. */
let lateReasons: string[]

beforeEach(() => {
  clock = new FakeClock()
  questions = []
  faults = []
  answers = []
  lateReasons = []
  queue = new AdmissionQueue({
    verify: async (request, signal) =>
      await new Promise((answer, fail) => questions.push({ client: nameOf(request), signal, answer, fail })),
    onFault: (error) => faults.push(error),
    now: clock.now,
  })
})

const requestOf = (client: string, source = ''): VerifyRequest => ({ key: Buffer.from(client), source })
const nameOf = ({ key }: VerifyRequest): string => Buffer.from(key).toString()
const ask = (client: string, source?: string): PendingAdmission =>
  queue.ask(requestOf(client, source), LOGIN_MS, ({ result, reason, isLate }) => {
    answers.push(`${client} ${result}`)
    if (isLate === true) lateReasons.push(reason)
  })
const many = (count: number, prefix = 'client'): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix} ${n}`)

/** Gives the backend's answer to these questions. */
async function answer(asked: readonly Question[], result: AdmissionAnswer = ALLOWED): Promise<void> {
  for (const question of asked) question.answer(result)
  await new Promise(setImmediate)
}

it('answers 200 questions one after another, and one more after 64 at once', async () => {
  for (const client of many(200)) {
    ask(client)
    await answer(questions.splice(0))
  }
  expect(answers).toHaveLength(200)
  for (const client of many(64, 'at once')) ask(client)
  await answer(questions.splice(0))
  ask('one more')
  await answer(questions.splice(0))
  expect(answers.at(-1)).toBe('one more allowed')
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 0 })
})

it('asks 64 questions at once, then the newest first', async () => {
  for (const client of many(64)) ask(client)
  ask('older')
  ask('newer')
  expect(questions).toHaveLength(64)
  expect(queue.numbers).toMatchObject({ waiting: 2, asking: 64 })
  await answer(questions.splice(0, 1))
  expect(questions.map(({ client }) => client).slice(63)).toEqual(['newer'])
  await answer(questions.splice(0, 1))
  expect(questions.map(({ client }) => client).slice(63)).toEqual(['older'])
})

it('asks once for several sessions of one key, and continues when one of them leaves', async () => {
  const first = ask('alice')
  ask('alice')
  ask('alice', '192.0.2.1')
  expect(questions).toHaveLength(2)
  first.cancel()
  clock.advance(2_000)
  queue.sweep()
  expect(questions[0]?.signal.aborted).toBe(false)
  await answer(questions)
  expect(answers).toEqual(['alice allowed', 'alice allowed'])
})

it('drops queued questions of clients that have left, and aborts asked ones after a second', async () => {
  const pending = [...many(64), 'left'].map((client) => ask(client))
  ask('stays')
  for (const one of pending.slice(1)) one.cancel()
  await answer(questions.slice(0, 1))
  expect(questions.at(-1)?.client).toBe('stays')
  clock.advance(900)
  queue.sweep()
  expect(questions.filter(({ signal }) => signal.aborted)).toEqual([])
  clock.advance(100)
  queue.sweep()
  expect(questions.filter(({ signal }) => signal.aborted)).toHaveLength(63)
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 1 })
  // The answers to aborted questions are ignored, and free no place twice.
  await answer(questions)
  expect(answers).toEqual(['client 0 allowed', 'stays allowed'])
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 0 })
})

it('a client that returns at once joins its question that is still being asked', async () => {
  ask('alice').cancel()
  clock.advance(500)
  queue.sweep()
  ask('alice')
  clock.advance(3_000)
  queue.sweep()
  expect(questions).toHaveLength(1)
  await answer(questions)
  expect(answers).toEqual(['alice allowed'])
})

it('refuses a client that waits longer than a login may take, and does not ask for it any more', async () => {
  for (const client of many(64)) ask(client)
  ask('late')
  clock.advance(LOGIN_MS)
  queue.sweep()
  expect(queue.numbers.waiting).toBe(0)
  clock.advance(1_000)
  queue.sweep()
  await answer(questions)
  expect(answers).toHaveLength(65)
  expect(lateReasons.slice(63)).toEqual([
    'no answer in 10 s',
    'no turn in 10 s: 64 questions at the backend, 1 in the queue',
  ])
  expect(questions).toHaveLength(64)
})

it('gives a client that has waited for five seconds the latest failure of a backend that is down', async () => {
  for (const client of many(64)) ask(client)
  clock.advance(50)
  ask('waiting')
  clock.advance(4_950)
  await answer(questions.splice(0, 64), TIMED_OUT)
  // The waiting client is asked for now. Another one comes and finds all places in use.
  for (const client of many(63, 'more')) ask(client)
  ask('new')
  queue.sweep()
  expect(answers).toHaveLength(64)
  clock.advance(4_999)
  queue.sweep()
  expect(answers).toHaveLength(64)
  clock.advance(1)
  queue.sweep()
  expect(answers.slice(64)).toEqual(['new unreachable'])
  // A slow backend is no failure: clients wait for their turn.
  await answer(questions.splice(0, 1))
  for (const client of many(64, 'again')) ask(client)
  clock.advance(6_000)
  queue.sweep()
  expect(answers.filter((line) => line.startsWith('again'))).toEqual([])
})

it('queues 10,000 questions; beyond that the oldest is refused and counted', () => {
  for (const client of many(64 + 10_000)) ask(client)
  expect(answers).toEqual([])
  ask('newest')
  expect(answers).toEqual(['client 64 unreachable'])
  expect(queue.numbers).toMatchObject({ waiting: 10_000, overflows: 1 })
})

it('a fault of this program refuses the client, is reported, and takes no place', async () => {
  ask('alice')
  questions[0]?.fail(new TypeError('oops'))
  await new Promise(setImmediate)
  expect(answers).toEqual(['alice unreachable'])
  expect(faults).toEqual([new TypeError('oops')])
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 0 })
})

it('does not grow while clients come and leave above one that waits', () => {
  for (const client of many(64)) ask(client)
  ask('waiting')
  for (const client of many(1_000, 'passing')) ask(client).cancel()
  expect(queue.numbers).toMatchObject({ waiting: 1, asking: 64 })
})

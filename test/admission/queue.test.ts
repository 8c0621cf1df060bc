import { beforeEach, expect, it } from 'vitest'
import { AdmissionQueue } from '#admission/queue.ts'
import type { Applicant } from '#admission/verifier.ts'
import type { AdmissionAnswer, PendingAdmission } from '#relay/ports.ts'
import { FakeClock } from '../support/fake-clock.ts'

const LOGIN_MS = 10_000
const ALLOWED: AdmissionAnswer = { result: 'allowed', reason: '' }
const GONE: AdmissionAnswer = { result: 'unreachable', reason: 'no answer within 5 s' }

interface Question {
  readonly who: string
  readonly signal: AbortSignal
  readonly answer: (answer: AdmissionAnswer) => void
  readonly fail: (error: Error) => void
}

let clock: FakeClock
let queue: AdmissionQueue
/** What the back end is asked, in order. */
let questions: Question[]
let faults: unknown[]
/** Who was told what. */
let told: string[]
/** Why, where it was too late. */
let reasons: string[]

beforeEach(() => {
  clock = new FakeClock()
  questions = []
  faults = []
  told = []
  reasons = []
  queue = new AdmissionQueue({
    verify: async (applicant, signal) =>
      await new Promise((answer, fail) => questions.push({ who: nameOf(applicant), signal, answer, fail })),
    onFault: (error) => faults.push(error),
    now: clock.now,
  })
})

const applicant = (who: string, source = ''): Applicant => ({ key: Buffer.from(who), source })
const nameOf = ({ key }: Applicant): string => Buffer.from(key).toString()
const ask = (who: string, source?: string): PendingAdmission =>
  queue.ask(applicant(who, source), LOGIN_MS, ({ result, reason, isLate }) => {
    told.push(`${who} ${result}`)
    if (isLate === true) reasons.push(reason)
  })
const many = (count: number, prefix = 'client'): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix} ${n}`)

/** The back end's answers arrive. */
async function answer(asked: readonly Question[], what: AdmissionAnswer = ALLOWED): Promise<void> {
  for (const question of asked) question.answer(what)
  await new Promise(setImmediate)
}

it('answers 200 one after another, and one more after 64 at once', async () => {
  for (const who of many(200)) {
    ask(who)
    await answer(questions.splice(0))
  }
  expect(told).toHaveLength(200)
  for (const who of many(64, 'at once')) ask(who)
  await answer(questions.splice(0))
  ask('one more')
  await answer(questions.splice(0))
  expect(told.at(-1)).toBe('one more allowed')
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 0 })
})

it('asks for 64 at once, and then for the newest first', async () => {
  for (const who of many(64)) ask(who)
  ask('older')
  ask('newer')
  expect(questions).toHaveLength(64)
  expect(queue.numbers).toMatchObject({ waiting: 2, asking: 64 })
  await answer(questions.splice(0, 1))
  expect(questions.map(({ who }) => who).slice(63)).toEqual(['newer'])
  await answer(questions.splice(0, 1))
  expect(questions.map(({ who }) => who).slice(63)).toEqual(['older'])
})

it('asks once for several sessions of one key, and goes on when one of them leaves', async () => {
  const first = ask('alice')
  ask('alice')
  ask('alice', '192.0.2.1')
  expect(questions).toHaveLength(2)
  first.cancel()
  clock.advance(2_000)
  queue.sweep()
  expect(questions[0]?.signal.aborted).toBe(false)
  await answer(questions)
  expect(told).toEqual(['alice allowed', 'alice allowed'])
})

it('does not ask for who has left, and breaks off what nobody waits for after a second', async () => {
  const askings = [...many(64), 'left'].map((who) => ask(who))
  ask('stays')
  for (const asking of askings.slice(1)) asking.cancel()
  await answer(questions.slice(0, 1))
  expect(questions.at(-1)?.who).toBe('stays')
  clock.advance(900)
  queue.sweep()
  expect(questions.filter(({ signal }) => signal.aborted)).toEqual([])
  clock.advance(100)
  queue.sweep()
  expect(questions.filter(({ signal }) => signal.aborted)).toHaveLength(63)
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 1 })
  // What comes of those that were broken off concerns nobody, and takes no place twice.
  await answer(questions)
  expect(told).toEqual(['client 0 allowed', 'stays allowed'])
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 0 })
})

it('lets who comes again at once find its question still being asked', async () => {
  ask('alice').cancel()
  clock.advance(500)
  queue.sweep()
  ask('alice')
  clock.advance(3_000)
  queue.sweep()
  expect(questions).toHaveLength(1)
  await answer(questions)
  expect(told).toEqual(['alice allowed'])
})

it('tells who waits longer than a login may take, and does not ask for it any more', async () => {
  for (const who of many(64)) ask(who)
  ask('late')
  clock.advance(LOGIN_MS)
  queue.sweep()
  expect(queue.numbers.waiting).toBe(0)
  clock.advance(1_000)
  queue.sweep()
  await answer(questions)
  expect(told).toHaveLength(65)
  expect(reasons.slice(63)).toEqual(['no answer in 10 s', 'no turn in 10 s: 64 are being asked for, 1 wait'])
  expect(questions).toHaveLength(64)
})

it('tells who has waited for five seconds what others found of a back end that is out', async () => {
  for (const who of many(64)) ask(who)
  clock.advance(50)
  ask('waits')
  clock.advance(4_950)
  await answer(questions.splice(0, 64), GONE)
  // It is asked for now; another one comes, and finds all places taken again.
  for (const who of many(63, 'more')) ask(who)
  ask('new')
  queue.sweep()
  expect(told).toHaveLength(64)
  clock.advance(4_999)
  queue.sweep()
  expect(told).toHaveLength(64)
  clock.advance(1)
  queue.sweep()
  expect(told.slice(64)).toEqual(['new unreachable'])
  // A back end that is slow is no reason: then one waits for one's turn.
  await answer(questions.splice(0, 1))
  for (const who of many(64, 'again')) ask(who)
  clock.advance(6_000)
  queue.sweep()
  expect(told.filter((line) => line.startsWith('again'))).toEqual([])
})

it('holds 10,000 questions; beyond, who has waited longest gives way, and is counted', () => {
  for (const who of many(64 + 10_000)) ask(who)
  expect(told).toEqual([])
  ask('newest')
  expect(told).toEqual(['client 64 unreachable'])
  expect(queue.numbers).toMatchObject({ waiting: 10_000, overflows: 1 })
})

it('a fault of ours refuses, is told of, and takes no place', async () => {
  ask('alice')
  questions[0]?.fail(new TypeError('oops'))
  await new Promise(setImmediate)
  expect(told).toEqual(['alice unreachable'])
  expect(faults).toEqual([new TypeError('oops')])
  expect(queue.numbers).toMatchObject({ waiting: 0, asking: 0 })
})

it('grows by nothing while clients come and leave above one that waits', () => {
  for (const who of many(64)) ask(who)
  ask('waits')
  for (const who of many(1_000, 'passing')) ask(who).cancel()
  expect(queue.numbers).toMatchObject({ waiting: 1, asking: 64 })
})

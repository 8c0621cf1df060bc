// One parser under fire for a stated time: mutated inputs, each with its own seed, in slices, so that several campaigns
// share a thread. An input with which something new comes of it joins the corpus: that is all the guidance there is, and
// it costs nothing. Ends with its first finding, made as small as simple means make it.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { mutated } from './mutation.ts'
import { Random } from './random.ts'
import type { Subject } from './subject.ts'

export interface Finding {
  /** A bare array when it has come from another thread. */
  readonly input: Uint8Array
  /** Of the attempt: what the subject's own randomness begins with. */
  readonly seed: number
  readonly problem: string
}

export interface Outcome {
  readonly name: string
  readonly attempts: number
  /** Different things that came of them. */
  readonly outcomes: number
  readonly finding: Finding | undefined
}

/** No single input may take longer, on the slowest machine: the slowest parser takes some milliseconds for the longest. */
const ATTEMPT_MS_MAX = 1_000
const ANSWER_MS_MAX = 15_000
const SLICE_MS = 20
/** What is worth going on from: so many, none of them long, since a long one takes the time of a hundred. */
const CORPUS_MAX = 2_000
const CORPUS_INPUT_BYTES_MAX = 8_192
const MINIMIZING_MS = 2_000

/** Told of each attempt before it is made, so that one that never ends is known. */
export type Beat = (subject: string, input: Buffer, seed: number) => void

export async function campaign(
  subject: Subject,
  order: { readonly seed: number; readonly untilMs: number; readonly beat: Beat },
): Promise<Outcome> {
  await subject.open?.()
  try {
    return await attemptAll(subject, order)
  } finally {
    await subject.close?.()
  }
}

async function attemptAll(
  subject: Subject,
  { seed, untilMs, beat }: { seed: number; untilMs: number; beat: Beat },
): Promise<Outcome> {
  const random = new Random(seed)
  const corpus: Buffer[] = subject.corpus.map((bytes) => Buffer.from(bytes))
  const material = { corpus, tokens: subject.tokens ?? [] }
  const outcomes = new Set<string>()
  let attempts = 0
  let sliceMs = performance.now()
  while (performance.now() < untilMs) {
    // The samples themselves first.
    const fresh = attempts < subject.corpus.length ? corpus[attempts] : mutated(material, random)
    const input = Buffer.from(fresh ?? Buffer.alloc(0)).subarray(0, subject.inputBytesMax)
    const attemptSeed = random.below(2 ** 32)
    beat(subject.name, input, attemptSeed)
    const { problem, outcome } = await tryOnce(subject, input, attemptSeed)
    attempts++
    if (problem !== undefined) {
      const smaller = await minimized(subject, { input, seed: attemptSeed, problem }, beat)
      return { name: subject.name, attempts, outcomes: outcomes.size, finding: smaller }
    }
    if (!outcomes.has(outcome)) {
      outcomes.add(outcome)
      if (corpus.length < CORPUS_MAX && input.length <= CORPUS_INPUT_BYTES_MAX) corpus.push(input)
    }
    if (performance.now() - sliceMs > SLICE_MS) {
      await nextTurn()
      sliceMs = performance.now()
    }
  }
  return { name: subject.name, attempts, outcomes: outcomes.size, finding: undefined }
}

/** One attempt; `problem` when a promise was broken. */
export async function tryOnce(
  subject: Subject,
  input: Buffer,
  seed: number,
): Promise<{ problem: string | undefined; outcome: string }> {
  // Subjects may spoil what they are lent.
  const lent = Buffer.from(input)
  const start = process.cpuUsage()
  try {
    const result = subject.attempt(lent, new Random(seed))
    if (typeof result !== 'string') return await inTime(result)
    const { user, system } = process.cpuUsage(start)
    const tookMs = (user + system) / 1_000
    // The whole process's time: garbage collection and others' slices are in it, so the second try counts.
    if (tookMs > ATTEMPT_MS_MAX && isSlow(subject, input, seed)) {
      return { problem: `takes more than ${ATTEMPT_MS_MAX} ms for ${input.length} bytes`, outcome: result }
    }
    return { problem: undefined, outcome: result }
  } catch (error) {
    return { problem: error instanceof Error ? (error.stack ?? error.message) : String(error), outcome: '' }
  }
}

/** What waits for sockets has time limits of its own, the longest of them ten seconds for a client's connection. */
async function inTime(result: Promise<string>): Promise<{ problem: string | undefined; outcome: string }> {
  const late = Promise.withResolvers<string | undefined>()
  const timer = setTimeout(() => late.resolve(undefined), ANSWER_MS_MAX)
  const outcome = await Promise.race([result, late.promise])
  clearTimeout(timer)
  if (outcome !== undefined) return { problem: undefined, outcome }
  return { problem: `has not ended after ${ANSWER_MS_MAX} ms`, outcome: '' }
}

function isSlow(subject: Subject, input: Buffer, seed: number): boolean {
  const times = [1, 2, 3].map(() => {
    const startMs = performance.now()
    void subject.attempt(Buffer.from(input), new Random(seed))
    return performance.now() - startMs
  })
  return Math.min(...times) > ATTEMPT_MS_MAX
}

/** The same finding with less: parts are left out as long as it stays one. */
async function minimized(subject: Subject, finding: Finding, beat: Beat): Promise<Finding> {
  let { problem } = finding
  let input = Buffer.from(finding.input)
  const untilMs = performance.now() + MINIMIZING_MS
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < input.length && performance.now() < untilMs;) {
      const less = Buffer.concat([input.subarray(0, at), input.subarray(at + size)])
      beat(subject.name, less, finding.seed)
      const tried = await tryOnce(subject, less, finding.seed)
      if (tried.problem === undefined) at += size
      else ({ input, problem } = { input: less, problem: tried.problem })
    }
  }
  return { input, problem, seed: finding.seed }
}

// Fuzzes one target for a given time: mutated inputs, each with its own seed, in time slices, so that several campaigns
// share a thread. An input with a new outcome joins the corpus; there is no other guidance. Ends with the first finding,
// which is minimized by simple means.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { mutated } from './mutation.ts'
import { Random } from './random.ts'
import type { FuzzTarget } from './target.ts'

export interface Finding {
  /** No Buffer if it comes from another thread. */
  readonly input: Uint8Array
  /** The seed of the attempt's randomness. */
  readonly seed: number
  readonly problem: string
}

export interface Outcome {
  readonly name: string
  readonly attempts: number
  /** Number of different outcomes. */
  readonly outcomes: number
  readonly finding: Finding | undefined
}

/** Limit for one input, on the slowest machine: the slowest parser takes some milliseconds for the longest input. */
const ATTEMPT_MS_MAX = 1_000
const WAIT_MS_MAX = 15_000
/** Repetitions of an input that seems slow; the fastest counts, since other programs may use the processor. */
const SLOW_REPEATS = 10
const SLICE_MS = 20
/** Limits of the corpus: a long input takes the time of a hundred short ones. */
const CORPUS_MAX = 2_000
const CORPUS_INPUT_BYTES_MAX = 8_192
const MINIMIZING_MS = 2_000

/** Called before each attempt, so that one that never ends is known. */
export type ReportAttempt = (target: string, input: Buffer, seed: number) => void

export async function campaign(
  target: FuzzTarget,
  job: { readonly seed: number; readonly untilMs: number; readonly reportAttempt: ReportAttempt },
): Promise<Outcome> {
  await target.open?.()
  try {
    return await attemptAll(target, job)
  } finally {
    await target.close?.()
  }
}

async function attemptAll(
  target: FuzzTarget,
  { seed, untilMs, reportAttempt }: { seed: number; untilMs: number; reportAttempt: ReportAttempt },
): Promise<Outcome> {
  const random = new Random(seed)
  const corpus: Buffer[] = target.corpus.map((bytes) => Buffer.from(bytes))
  const material = { corpus, tokens: target.tokens ?? [] }
  const outcomes = new Set<string>()
  let attempts = 0
  let sliceMs = performance.now()
  while (performance.now() < untilMs) {
    // First the samples themselves.
    const fresh = attempts < target.corpus.length ? corpus[attempts] : mutated(material, random)
    const input = Buffer.from(fresh ?? Buffer.alloc(0)).subarray(0, target.inputBytesMax)
    const attemptSeed = random.below(2 ** 32)
    reportAttempt(target.name, input, attemptSeed)
    const { problem, outcome } = await tryOnce(target, input, attemptSeed)
    attempts++
    if (problem !== undefined) {
      const smaller = await minimized(target, { input, seed: attemptSeed, problem }, reportAttempt)
      return { name: target.name, attempts, outcomes: outcomes.size, finding: smaller }
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
  return { name: target.name, attempts, outcomes: outcomes.size, finding: undefined }
}

/** One attempt; `problem` if an invariant does not hold. */
export async function tryOnce(
  target: FuzzTarget,
  input: Buffer,
  seed: number,
): Promise<{ problem: string | undefined; outcome: string }> {
  // Targets may change their input.
  const copy = Buffer.from(input)
  const start = process.cpuUsage()
  try {
    const result = target.attempt(copy, new Random(seed))
    if (typeof result !== 'string') return await inTime(result)
    const { user, system } = process.cpuUsage(start)
    const tookMs = (user + system) / 1_000
    // The time of the whole process includes garbage collection and other campaigns, so the repetition counts.
    if (tookMs > ATTEMPT_MS_MAX && isSlow(target, input, seed)) {
      return { problem: `takes more than ${ATTEMPT_MS_MAX} ms for ${input.length} bytes`, outcome: result }
    }
    return { problem: undefined, outcome: result }
  } catch (error) {
    return { problem: error instanceof Error ? (error.stack ?? error.message) : String(error), outcome: '' }
  }
}

/** Targets that wait for sockets have time limits of their own, at most ten seconds, for a client's connection. */
async function inTime(result: Promise<string>): Promise<{ problem: string | undefined; outcome: string }> {
  const late = Promise.withResolvers<string | undefined>()
  const timer = setTimeout(() => late.resolve(undefined), WAIT_MS_MAX)
  const outcome = await Promise.race([result, late.promise])
  clearTimeout(timer)
  if (outcome !== undefined) return { problem: undefined, outcome }
  return { problem: `has not ended after ${WAIT_MS_MAX} ms`, outcome: '' }
}

function isSlow(target: FuzzTarget, input: Buffer, seed: number): boolean {
  const times = Array.from({ length: SLOW_REPEATS }, () => {
    const startMs = performance.now()
    void target.attempt(Buffer.from(input), new Random(seed))
    return performance.now() - startMs
  })
  return Math.min(...times) > ATTEMPT_MS_MAX
}

/** The finding with a smaller input: removes parts as long as the problem remains. */
async function minimized(
  target: FuzzTarget,
  finding: Finding,
  reportAttempt: ReportAttempt,
): Promise<Finding> {
  let { problem } = finding
  let input = Buffer.from(finding.input)
  const untilMs = performance.now() + MINIMIZING_MS
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < input.length && performance.now() < untilMs;) {
      const less = Buffer.concat([input.subarray(0, at), input.subarray(at + size)])
      reportAttempt(target.name, less, finding.seed)
      const tried = await tryOnce(target, less, finding.seed)
      if (tried.problem === undefined) at += size
      else ({ input, problem } = { input: less, problem: tried.problem })
    }
  }
  return { input, problem, seed: finding.seed }
}

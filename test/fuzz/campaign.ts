// Fuzzes one parser for a given time with mutated inputs, each with a seed of its own. It yields between slices, so
// that several campaigns can share a thread. An input with a new outcome joins the corpus; there is no other guidance.
// A campaign ends with its first finding, which it minimizes.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { mutated } from './mutation.ts'
import { Random } from './random.ts'
import type { Subject } from './target.ts'

export interface Finding {
  /** A plain Uint8Array if it comes from another thread. */
  readonly input: Uint8Array
  /** The seed of the attempt, from which the subject's own randomness starts. */
  readonly seed: number
  readonly problem: string
}

export interface Outcome {
  readonly name: string
  readonly attempts: number
  /** The number of different outcomes. */
  readonly outcomes: number
  readonly finding: Finding | undefined
}

/**
 * The limit for one input on the slowest machine; the slowest parser takes a few milliseconds for the longest input.
 */
const ATTEMPT_MS_MAX = 1_000
const WAIT_MS_MAX = 15_000
const SLICE_MS = 20
/** Limits of the corpus. It has no long inputs, since a long input takes as much time as a hundred short ones. */
const CORPUS_MAX = 2_000
const CORPUS_INPUT_BYTES_MAX = 8_192
const MINIMIZING_MS = 2_000

/** Called before each attempt, so that an attempt that never ends is known. */
export type ReportAttempt = (subject: string, input: Buffer, seed: number) => void

export async function campaign(
  subject: Subject,
  order: { readonly seed: number; readonly untilMs: number; readonly report: ReportAttempt },
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
  { seed, untilMs, report }: { seed: number; untilMs: number; report: ReportAttempt },
): Promise<Outcome> {
  const random = new Random(seed)
  const corpus: Buffer[] = subject.corpus.map((bytes) => Buffer.from(bytes))
  const material = { corpus, tokens: subject.tokens ?? [] }
  const outcomes = new Set<string>()
  let attempts = 0
  let sliceMs = performance.now()
  while (performance.now() < untilMs) {
    // The first attempts use the samples themselves.
    const fresh = attempts < subject.corpus.length ? corpus[attempts] : mutated(material, random)
    const input = Buffer.from(fresh ?? Buffer.alloc(0)).subarray(0, subject.inputBytesMax)
    const attemptSeed = random.below(2 ** 32)
    report(subject.name, input, attemptSeed)
    const { problem, outcome } = await tryOnce(subject, input, attemptSeed)
    attempts++
    if (problem !== undefined) {
      const smaller = await minimized(subject, { input, seed: attemptSeed, problem }, report)
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

/** Makes one attempt; `problem` is set if it broke a promise. */
export async function tryOnce(
  subject: Subject,
  input: Buffer,
  seed: number,
): Promise<{ problem: string | undefined; outcome: string }> {
  // Subjects may overwrite their input.
  const lent = Buffer.from(input)
  const start = process.cpuUsage()
  try {
    const result = subject.attempt(lent, new Random(seed))
    if (typeof result !== 'string') return await inTime(result)
    const { user, system } = process.cpuUsage(start)
    const tookMs = (user + system) / 1_000
    // This time is that of the whole process, garbage collection and other campaigns included; so a second try decides.
    if (tookMs > ATTEMPT_MS_MAX && isSlow(subject, input, seed)) {
      return { problem: `takes more than ${ATTEMPT_MS_MAX} ms for ${input.length} bytes`, outcome: result }
    }
    return { problem: undefined, outcome: result }
  } catch (error) {
    return { problem: error instanceof Error ? (error.stack ?? error.message) : String(error), outcome: '' }
  }
}

/**
 * Waits for an attempt with sockets. These have timeouts of their own; the longest is ten seconds for a client's
 * connection.
 */
async function inTime(result: Promise<string>): Promise<{ problem: string | undefined; outcome: string }> {
  const late = Promise.withResolvers<string | undefined>()
  const timer = setTimeout(() => late.resolve(undefined), WAIT_MS_MAX)
  const outcome = await Promise.race([result, late.promise])
  clearTimeout(timer)
  if (outcome !== undefined) return { problem: undefined, outcome }
  return { problem: `has not ended after ${WAIT_MS_MAX} ms`, outcome: '' }
}

function isSlow(subject: Subject, input: Buffer, seed: number): boolean {
  const times = [1, 2, 3].map(() => {
    const startMs = performance.now()
    void subject.attempt(Buffer.from(input), new Random(seed))
    return performance.now() - startMs
  })
  return Math.min(...times) > ATTEMPT_MS_MAX
}

/** Minimizes a finding: removes parts of the input as long as it still breaks a promise. */
async function minimized(subject: Subject, finding: Finding, report: ReportAttempt): Promise<Finding> {
  let { problem } = finding
  let input = Buffer.from(finding.input)
  const untilMs = performance.now() + MINIMIZING_MS
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < input.length && performance.now() < untilMs;) {
      const less = Buffer.concat([input.subarray(0, at), input.subarray(at + size)])
      report(subject.name, less, finding.seed)
      const tried = await tryOnce(subject, less, finding.seed)
      if (tried.problem === undefined) at += size
      else ({ input, problem } = { input: less, problem: tried.problem })
    }
  }
  return { input, problem, seed: finding.seed }
}

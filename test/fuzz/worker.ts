// A thread that runs several campaigns side by side. An attempt that never ends stops only this thread, and the shared
// memory tells which one it was.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { campaign, type ReportAttempt, type Outcome } from './campaign.ts'
import type { FuzzJob } from './job.ts'
import { targetNamed } from './targets.ts'

/** Memory that all campaigns together may retain: compiled code, pools with a fixed reserve. */
const RETAINED_MIB_MAX = 64

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Memory in use after garbage collection; memory outside the heap is freed in a later turn. */
async function retainedMiB(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collectGarbage()
    await nextTurn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1_048_576
}

const { names, seed, forMs, progress } = workerData as FuzzJob
const numbers = new Uint32Array(progress, 0, 4)
const last = new Uint8Array(progress, 16)

const reportAttempt: ReportAttempt = (name, input, attemptSeed) => {
  numbers[0] = (numbers[0] ?? 0) + 1
  numbers[1] = attemptSeed
  numbers[2] = Math.min(input.length, last.length)
  numbers[3] = names.indexOf(name)
  last.set(input.subarray(0, last.length))
}

/** Exceptions that a parser has thrown in a later turn. */
const uncaught: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) =>
    uncaught.push(error instanceof Error ? (error.stack ?? '') : String(error)),
  )
}

const before = await retainedMiB()
const untilMs = performance.now() + forMs
const outcomes: Outcome[] = await Promise.all(
  names.map(async (name) => await campaign(targetNamed(name), { seed, untilMs, reportAttempt })),
)
const retained = (await retainedMiB()) - before
if (retained > RETAINED_MIB_MAX) uncaught.push(`${retained.toFixed(0)} MiB are not freed`)
parentPort?.postMessage({ outcomes, uncaught })

// A thread that runs several campaigns concurrently, apart from the thread that supervises them: an attempt that never
// ends blocks this thread only, and the shared memory contains it.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { campaign, type Beat, type Outcome } from './campaign.ts'
import type { Order } from './job.ts'
import { subjectNamed } from './targets.ts'

/** Memory that all campaigns together may keep: compiled code, pools with a fixed reserve. */
const HELD_MIB_MAX = 64

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Memory in use after garbage collection. Memory outside the heap is freed in a later turn of the event loop. */
async function heldMiB(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collectGarbage()
    await nextTurn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1_048_576
}

const { names, seed, forMs, progress } = workerData as Order
const numbers = new Uint32Array(progress, 0, 4)
const last = new Uint8Array(progress, 16)

const report: ReportAttempt = (name, input, attemptSeed) => {
  numbers[0] = (numbers[0] ?? 0) + 1
  numbers[1] = attemptSeed
  numbers[2] = Math.min(input.length, last.length)
  numbers[3] = names.indexOf(name)
  last.set(input.subarray(0, last.length))
}

/** Errors that a parser throws in a later turn of the event loop, where its caller cannot catch them. */
const uncaught: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) =>
    uncaught.push(error instanceof Error ? (error.stack ?? '') : String(error)),
  )
}

const before = await heldMiB()
const untilMs = performance.now() + forMs
const outcomes: Outcome[] = await Promise.all(
  names.map(async (name) => await campaign(subjectNamed(name), { seed, untilMs, report })),
)
const held = (await heldMiB()) - before
if (held > HELD_MIB_MAX) uncaught.push(`${held.toFixed(0)} MiB remain in use`)
parentPort?.postMessage({ outcomes, uncaught })

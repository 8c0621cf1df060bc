// A thread in which several campaigns run side by side, apart from who watches them: an attempt that never ends stops this
// thread alone, and what it was is in the shared memory.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { campaign, type Beat, type Outcome } from './campaign.ts'
import type { Order } from './order.ts'
import { subjectNamed } from './subjects.ts'

/** What all campaigns together may leave behind: compiled code, pools with a fixed reserve. */
const HELD_MIB_MAX = 64

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** What is held when all garbage is collected; what lies outside the heap goes in a later turn. */
async function heldMiB(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collectGarbage()
    await nextTurn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1_048_576
}

const { names, seed, forMs, beats } = workerData as Order
const numbers = new Uint32Array(beats, 0, 4)
const last = new Uint8Array(beats, 16)

const beat: Beat = (name, input, attemptSeed) => {
  numbers[0] = (numbers[0] ?? 0) + 1
  numbers[1] = attemptSeed
  numbers[2] = Math.min(input.length, last.length)
  numbers[3] = names.indexOf(name)
  last.set(input.subarray(0, last.length))
}

/** What is thrown where nobody can catch it: the parser's own doing, in a later turn. */
const strayed: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) =>
    strayed.push(error instanceof Error ? (error.stack ?? '') : String(error)),
  )
}

const before = await heldMiB()
const untilMs = performance.now() + forMs
const outcomes: Outcome[] = await Promise.all(
  names.map(async (name) => await campaign(subjectNamed(name), { seed, untilMs, beat })),
)
const held = (await heldMiB()) - before
if (held > HELD_MIB_MAX) strayed.push(`${held.toFixed(0)} MiB stay behind`)
parentPort?.postMessage({ outcomes, strayed })

// A server that has just started, made ready for figures about delays: its code is being compiled, and its start's memory given back.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Load } from '../load/load.ts'

const RATE = 20_000
const SECONDS = 3
const QUIET_MS = 10_000

/** @param run runs a load on that server */
export async function settle(bench: Bench, run: (load: Load) => Promise<unknown>): Promise<void> {
  await run(bench.load(RATE, 10, { seconds: SECONDS, warmSeconds: 0 }))
  await sleep(QUIET_MS)
}

// Loaded into every thread of a program under test (`node --import`): makes a thread hang or fail on request. Knows the
// program's threads by their start data alone.
//
// A request is a file in TROUBLE_FOLDER such as `hang-relay` or `fault-stun`; the one thread of that kind that removes the
// file obeys it, whichever process it is of.

import { spawnSync } from 'node:child_process'
import { readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread, workerData } from 'node:worker_threads'

const LOOK_MS = 20
/** Less than a watchdog waits. */
const PAUSE_MS = 2_000

function fifo(folder: string): string {
  const path = join(folder, 'fifo')
  spawnSync('sh', ['-c', 'mkfifo "$0"', path])
  return path
}

const folder = process.env.TROUBLE_FOLDER
const data = workerData as object | null
if (!isMainThread && folder !== undefined && data !== null && 'counters' in data) {
  const kind = 'settings' in data ? 'relay' : 'way' in data ? 'bridge' : 'stun'
  const isRequested = (trouble: string): boolean => {
    try {
      // One step: of several threads, one succeeds. rmSync looks first, and does not fail if another removes the file then.
      unlinkSync(join(folder, `${trouble}-${kind}`))
      return true
    } catch {
      return false
    }
  }
  setInterval(() => {
    if (isRequested('fault')) throw new Error('a fault that a test requested')
    if (isRequested('spin')) for (;;);
    // As still as a loop is busy, so that other tests keep their processors; terminating the thread interrupts both.
    if (isRequested('hang')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    if (isRequested('pause')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
    // Blocks in the system until the pipe has a writer, which is never; even terminating the thread does not interrupt it.
    if (isRequested('block')) readFileSync(fifo(folder))
  }, LOOK_MS).unref()
}

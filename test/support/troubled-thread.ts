// Loaded into every thread of a program under test (`node --import`): a thread of the kind that a file asks for hangs or
// meets a fault. Not the program's: it knows the threads by what they are given alone.
//
// TROUBLE_FOLDER is where files such as `hang-relay` and `fault-stun` are looked for; the thread that removes one does it.

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread, workerData } from 'node:worker_threads'

const LOOK_MS = 20

function fifo(folder: string): string {
  const path = join(folder, 'fifo')
  spawnSync('sh', ['-c', 'mkfifo "$0"', path])
  return path
}

const folder = process.env.TROUBLE_FOLDER
const data = workerData as object | null
if (!isMainThread && folder !== undefined && data !== null && 'counters' in data) {
  const kind = 'settings' in data ? 'relay' : 'stun'
  const isAsked = (trouble: string): boolean => {
    try {
      rmSync(join(folder, `${trouble}-${kind}`))
      return true
    } catch {
      return false
    }
  }
  setInterval(() => {
    if (isAsked('fault')) throw new Error('a fault that a test asked for')
    if (isAsked('hang')) for (;;);
    // Waits in the system for a writer that never comes: not even the end of the thread interrupts it.
    if (isAsked('block')) readFileSync(fifo(folder))
  }, LOOK_MS).unref()
}

// Collects all garbage of the calling thread, and gives the pages of its heap that are free then back to the system. The thread does
// nothing else meanwhile: a tenth of a second with a heap as after a start, on a busy machine. By itself V8 collects when a heap has grown, never because it is idle.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

interface GarbageOptions {
  readonly type: 'major'
  readonly execution: 'sync'
  /** As if memory were at its end: also what is only kept to be faster, and the space for new objects. */
  readonly flavor: 'last-resort'
}

export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: GarbageOptions) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/** So long after its start a thread that sends and receives little has done what a start leaves to do. */
const STARTED_MS = 5_000

/** Once, some seconds from now, for a thread to which a pause is nothing. */
export function collectAfterStart(): void {
  setTimeout(collectGarbage, STARTED_MS).unref()
}

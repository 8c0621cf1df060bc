// Collects garbage of the calling thread when V8 by itself would not: V8 collects when a heap has grown, never because it is idle,
// and does not see soon enough what buffers outside of the heap have grown to. To collect all, and to give the pages of the heap that
// are free then back to the system, takes a tenth of a second with a heap as after a start, on a busy machine.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

interface GarbageOptions {
  readonly type: 'major' | 'minor'
  readonly execution: 'sync'
  /** As if memory were at its end: also what is only kept to be faster, and the space for new objects. */
  readonly flavor: 'regular' | 'last-resort'
}

let collect: ((options: GarbageOptions) => void) | undefined = undefined

function collector(): (options: GarbageOptions) => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as (options: GarbageOptions) => void
}

export function collectGarbage(): void {
  collect ??= collector()
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/**
 * Node's sockets allocate a buffer of up to 64 KiB for each read. V8 collects young garbage when the objects have filled 2 MiB, by
 * which time their buffers may hold twenty times as much. With so many bytes the collections take some percent of a busy thread's time.
 */
const READ_GARBAGE_BYTES_MAX = 8_388_608
let readGarbageBytes = 0

/** So many bytes were read into a buffer of their own. */
export function noteReadGarbage(byteCount: number): void {
  readGarbageBytes += byteCount
  if (readGarbageBytes < READ_GARBAGE_BYTES_MAX) return
  readGarbageBytes = 0
  collect ??= collector()
  // Only what is young, which takes a millisecond or less.
  collect({ type: 'minor', execution: 'sync', flavor: 'regular' })
}

/** So long after its start a thread that sends and receives little has done what a start leaves to do. */
const STARTED_MS = 5_000

/** Once, some seconds from now, for a thread to which a pause is nothing. */
export function collectAfterStart(): void {
  setTimeout(collectGarbage, STARTED_MS).unref()
}

// Whether this thread's heap is about to be full. A thread whose heap overflows is torn down where it stands, and can't
// close its HTTP server, without which the whole process ends with it. So it is better to fail a little earlier, as with
// any fault. What overflows within a moment is not foreseen.

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Of the limit. Collections become frequent beyond it, and the rest is what a burst may take meanwhile. */
const FULL_SHARE = 0.9

/** @throws Error when the heap stays nearly full although all garbage has been collected */
export function assertHeapHasRoom(): void {
  if (fullShare() < FULL_SHARE) return
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  collectGarbage()
  if (fullShare() < FULL_SHARE) return
  const { heap_size_limit: limit } = getHeapStatistics()
  throw new Error(`out of memory: the heap holds more than nine tenths of its limit of ${limit} bytes`)
}

function fullShare(): number {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  return used / limit
}

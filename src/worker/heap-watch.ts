// Whether this thread's heap is about to be full. A thread whose heap overflows is torn down where it stands, and can't
// close its HTTP server, without which the whole process ends with it. So it is better to fail a little earlier, as with
// any fault. What overflows within a moment is not foreseen.

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Part of the limit, but for young objects alone: at most three half-spaces of 16 MiB, V8's default on 64 bits. */
const YOUNG_BYTES = 50_331_648
/** Collections become frequent beyond it, and the rest is what a burst may take meanwhile. */
const FULL_SHARE = 0.85

/** @throws Error when the heap stays nearly full although all garbage has been collected */
export function assertHeapHasRoom(): void {
  if (!isNearlyFull()) return
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  collectGarbage()
  if (!isNearlyFull()) return
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  throw new Error(`out of memory: the heap holds ${used} bytes, and may not hold more than ${limit}`)
}

function isNearlyFull(): boolean {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  return used > FULL_SHARE * (limit - YOUNG_BYTES)
}

// Ends a relay thread whose heap stays nearly full, as a fault of its own; another thread is started in its place. Runs on
// that thread, once a second.
//
// The runtime also ends a thread whose heap overflows, and that thread alone: on Node 22.23.3, with a limit of 160 MiB and
// clients connected, 36 of 36 sudden and slow overflows left the process running. But the last seconds before an overflow
// are spent on garbage collections while all clients of the thread wait: heaps that fill slowly overflowed after 14 to
// 23 s, and this check ended their threads after 14 to 17 s. One allocation too large for the rest of the heap ends the
// whole process, with this check and without it: a map of millions of entries that doubled its table did.

import { getHeapStatistics } from 'node:v8'
import { collectGarbage } from '#transport/collect-garbage.ts'

/**
 * The part of the limit that only young objects may use, at most: Node 22's choice, three half-spaces of 16 MiB. bin/derpfleet
 * sets three of 2 MiB on every line of Node; Node 24's choice would be three of 64.
 */
const YOUNG_BYTES = 50_331_648
/** Beyond this share collections become frequent; what is left is room for one second's growth. */
const FULL_SHARE = 0.85

/** @throws Error if the heap is still nearly full after all garbage has been collected */
export function assertHeapHasRoom(): void {
  if (!isNearlyFull()) return
  collectGarbage()
  if (!isNearlyFull()) return
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  throw new Error(`out of memory: the heap holds ${used} bytes, and may not hold more than ${limit}`)
}

function isNearlyFull(): boolean {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  return used > FULL_SHARE * (limit - YOUNG_BYTES)
}

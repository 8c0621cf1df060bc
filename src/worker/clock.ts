// Time as a relay thread's parts get it: the real clock and real timers, which tests replace.

/** Monotonic milliseconds. */
export function now(): number {
  return performance.now()
}

/** Calls back once after so many ms; 0: in the next turn of the event loop. */
export function later(delayMs: number, callback: () => void): void {
  if (delayMs === 0) setImmediate(callback)
  else setTimeout(callback, delayMs)
}

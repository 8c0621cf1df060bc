// A clock that stands still while the process does: in a machine that sleeps or is moved, after SIGSTOP, or while the thread
// hangs. What others have said meanwhile has not been read, so such a time is no silence of theirs. Has no timer.
//
// Contract: it never goes back, and is right as long as it is asked every few seconds.

/** Longer than a busy thread takes to come back to its timers of one second. */
const PAUSE_MS_MIN = 5_000

/** @param now monotonic milliseconds */
export function awakeClock(now: () => number): () => number {
  let [lastMs, missedMs] = [now(), 0]
  return () => {
    const nowMs = now()
    const gapMs = nowMs - lastMs
    if (gapMs >= PAUSE_MS_MIN) missedMs += gapMs
    lastMs = nowMs
    return nowMs - missedMs
  }
}

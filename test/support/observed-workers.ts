// The worker threads that a relay in the test's own process starts, seen from outside: for tests that make one fail.

import type { Worker } from 'node:worker_threads'
import { onTestFinished } from 'vitest'

/** Calls `observe` for each thread that starts from now on, until the test ends. */
export function onWorker(observe: (worker: Worker) => void): void {
  process.on('worker', observe)
  onTestFinished(() => void process.off('worker', observe))
}

/** The threads that start from now on, in that order, restarted ones included; the STUN thread follows the relay threads. */
export function observeWorkers(): Worker[] {
  const workers: Worker[] = []
  onWorker((worker) => workers.push(worker))
  return workers
}

/** Makes a relay thread fail with an exception: no control thread sends such a message. */
export function causeFault(worker: Worker | undefined): void {
  worker?.postMessage({ kind: 'endUnacknowledged', remotes: 7 })
}

/** The same for the STUN thread. */
export function causeStunFault(worker: Worker | undefined): void {
  worker?.postMessage(null)
}

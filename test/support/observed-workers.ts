// The worker threads that a relay in the test's own process starts, seen from outside: for tests that have one meet a fault.

import type { Worker } from 'node:worker_threads'
import { onTestFinished } from 'vitest'

/** Threads that start from now on, in that order, those started anew included; the STUN thread comes after the relay threads. */
export function observeWorkers(): Worker[] {
  const workers: Worker[] = []
  const observe = (worker: Worker): void => void workers.push(worker)
  process.on('worker', observe)
  onTestFinished(() => void process.off('worker', observe))
  return workers
}

/** Has a relay thread meet a fault of its own: no control thread says this. */
export function causeFault(worker: Worker | undefined): void {
  worker?.postMessage({ kind: 'endUnacknowledged', remotes: 7 })
}

// Loaded into a relay before its own code (`node --import`), by the bench alone: gives each relay thread a table of descriptors of its
// own, so that the limit of open files counts per thread. For machines on which nobody may raise that limit. Never in a relay that
// serves anybody: what one thread opens, the others do not know.

import { isMainThread, workerData } from 'node:worker_threads'
import koffi from 'koffi'

const CLONE_FILES = 0x400

/** Of the threads of a relay, only those that serve clients have budgets of new connections. */
const isRelayThread = !isMainThread && (workerData as { accepts?: unknown } | null)?.accepts !== undefined

if (isRelayThread) {
  const unshare = koffi.load(null).func('int unshare(int)')
  if (unshare(CLONE_FILES) !== 0) throw new Error(`cannot unshare descriptors: error ${koffi.errno()}`)
}

// The entry of the STUN thread: one STUN server, and obedience to the control thread.

import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { StunCounters, StunServer } from '#transport/stun-server.ts'
import type { StunThreadData, ToStunThread } from './thread-messages.ts'

/** Often enough for the control thread to tell silence, and for addresses that come to be served soon. */
const LOOK_MS = 2_000
/** Nine times the weight of a thread with the usual niceness. */
const NICENESS = -10

if (parentPort === null) throw new Error('stun-thread.ts is the entry of a worker thread')
const control = parentPort
const data = workerData as StunThreadData
const counters = new StunCounters(data.counters)
const server = new StunServer(data.host, counters)
server.isAnswering = data.isAnswering

// Node's own listener would print it in a form of its own between the lines of the log.
process.removeAllListeners('warning').on('warning', ({ name, message: text }) => {
  control.postMessage({ kind: 'runtimeWarning', name, text })
})
preferThisThread()

try {
  const port = await server.listen(data)
  control.on('message', (message: ToStunThread) => {
    if (message.kind === 'answer') server.isAnswering = message.isAnswering
    else stop()
  })
  const looks = setInterval(() => {
    counters.countSweep()
    void server.updateAddresses()
  }, LOOK_MS)
  control.on('close', () => clearInterval(looks))
  control.postMessage({ kind: 'listening', port })
} catch (error) {
  const { code = '', message } = error as NodeJS.ErrnoException
  control.postMessage({ kind: 'listenFailed', code, message })
  control.close()
}

/**
 * An answer takes microseconds, and what it says is how long it took: it shall not wait for a relay thread's turn on the
 * same processor. Linux counts niceness by threads; who may not have less of it goes on with what everybody has.
 */
function preferThisThread(): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), NICENESS)
  } catch {
    // Not privileged, or not Linux.
  }
}

function stop(): void {
  server.close()
  control.postMessage({ kind: 'stopped' })
  control.close()
}

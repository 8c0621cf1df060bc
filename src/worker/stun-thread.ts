// The entry of the STUN thread: one STUN server, which answers as the control thread says. A thread of its own, so that a
// busy relay does not delay STUN answers and a flood of STUN requests does not delay packets.

import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { StunCounters, StunServer } from '#transport/stun-server.ts'
import { StunSample } from './stun-sample.ts'
import type { FromStunThread, StunThreadData, ToStunThread, WorkerStateMessage } from './thread-messages.ts'

/** Often enough for the control thread to notice a hang, and for new addresses to be served soon. */
const LOOK_MS = 2_000
/** Nine times the weight of a thread with the usual niceness. */
const NICENESS = -10

if (parentPort === null) throw new Error('stun-thread.ts is the entry of a worker thread')
const port = parentPort
const data = workerData as StunThreadData
const counters = new StunCounters(data.counters)
const sample = new StunSample()
const server = new StunServer({ ...data, onAnswered: (ip) => sample.add(ip) }, counters)
server.isAnswering = data.isAnswering

// Node's own listener would print warnings between the lines of the log, in another format.
process.removeAllListeners('warning').on('warning', ({ name, message }) => {
  send({ kind: 'runtimeWarning', name, text: message })
})
raisePriority()

try {
  const listeningPort = await server.listen()
  port.on('message', (message: ToStunThread) => {
    if (message.kind === 'answer') server.isAnswering = message.isAnswering
    else stop()
  })
  const looks = setInterval(() => {
    counters.countSweep()
    const taken = sample.take()
    if (taken !== undefined) send({ kind: 'stunRequests', ...taken })
    void server.updateAddresses()
  }, LOOK_MS)
  port.on('close', () => clearInterval(looks))
  send({ kind: 'listening', port: listeningPort })
} catch (error) {
  const { code = '', message } = error as NodeJS.ErrnoException
  send({ kind: 'listenFailed', code, message })
  port.close()
}

/**
 * Clients measure how long an answer takes, and making one takes microseconds: it must not wait for a relay thread's time
 * slice on the same processor. Linux keeps niceness per thread. Without the privilege the thread keeps the usual niceness.
 */
function raisePriority(): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), NICENESS)
  } catch {
    // Not privileged, or not Linux.
  }
}

function stop(): void {
  server.close()
  send({ kind: 'stopped' })
  port.close()
}

function send(message: FromStunThread | WorkerStateMessage): void {
  port.postMessage(message)
}

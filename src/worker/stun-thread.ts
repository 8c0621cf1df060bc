// The entry of the STUN thread: one STUN server, which answers as the control thread says. A thread of its own, so that a
// busy relay does not delay STUN answers and a flood of STUN requests does not delay packets.

import { parentPort, workerData } from 'node:worker_threads'
import { StunCounters, StunServer } from '#transport/stun-server.ts'
import { collectAfterStart } from '#transport/collect-garbage.ts'
import { StunSample } from './stun-sample.ts'
import { takeStunPriority } from './thread-priority.ts'
import type { FromStunThread, StunThreadData, ToStunThread, WorkerStateMessage } from './thread-messages.ts'

/** Often enough for the control thread to notice a hang, and for new addresses to be served soon. */
const LOOK_MS = 2_000

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
takeStunPriority()
collectAfterStart()

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

function stop(): void {
  server.close()
  send({ kind: 'stopped' })
  port.close()
}

function send(message: FromStunThread | WorkerStateMessage): void {
  port.postMessage(message)
}

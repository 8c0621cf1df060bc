// The entry of the STUN thread: one STUN server, and obedience to the control thread.

import { parentPort, workerData } from 'node:worker_threads'
import { StunCounters, StunServer } from '#transport/stun-server.ts'
import type { StunThreadData, ToStunThread } from './thread-messages.ts'

if (parentPort === null) throw new Error('stun-thread.ts is the entry of a worker thread')
const control = parentPort
const data = workerData as StunThreadData
const server = new StunServer(data.host, new StunCounters(data.counters))

try {
  const port = await server.listen(data)
  control.on('message', (message: ToStunThread) => {
    if (message.kind === 'answer') server.isAnswering = message.isAnswering
    else stop()
  })
  control.postMessage({ kind: 'listening', port })
} catch (error) {
  const { code = '', message } = error as NodeJS.ErrnoException
  control.postMessage({ kind: 'refused', code, message })
  control.close()
}

function stop(): void {
  server.close()
  control.postMessage({ kind: 'stopped' })
  control.close()
}

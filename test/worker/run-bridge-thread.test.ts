// The bridge thread and the end of the other run: real sockets, and a real thread.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import { Counters } from '#relay/counters.ts'
import type { FromRunBridge, RunBridgeData } from '#worker/thread-messages.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const ENTRY = new URL('../../src/worker/run-bridge-thread.ts', import.meta.url)

it('the end of a run that has not read all that was sent to it is one in order', async () => {
  using folder = new TemporaryFolder()
  const path = join(folder.path, 'bridge.sock')
  // It has ended in order, and the system says "reset" all the same: what it has not read is lost.
  const server = createServer({ pauseOnConnect: true }, (socket: Socket) =>
    setTimeout(() => socket.destroy(), 100),
  )
  server.listen(path)
  await once(server, 'listening')
  const memories = new ThreadMemories()
  memories.openRun(1)
  const { bridge: memory } = memories
  if (memory === undefined) throw new Error('no bridge')
  const workerData: RunBridgeData = {
    memory,
    counters: new Counters().memory,
    way: 'connect',
    path,
    token: '00'.repeat(32),
  }
  const thread = new Worker(ENTRY, { workerData })
  try {
    const why = await new Promise<string>((resolve) => {
      thread.on('message', (message: FromRunBridge) => {
        if (message.kind === 'bridgeDown') resolve(message.why)
      })
    })
    expect(why).toBe('')
  } finally {
    await thread.terminate()
    server.close()
  }
})

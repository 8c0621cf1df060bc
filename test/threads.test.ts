import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { RelayThreads } from '#threads.ts'
import { LiveRelay } from './support/live-relay.ts'

it('a fault in one thread is told with its cause, and all of them can be ended after it', async () => {
  await using other = await LiveRelay.start()
  const settings = { ...other.settings, threadCount: 2 }
  const { certificatePath, keyPath } = settings.certificate ?? { certificatePath: '', keyPath: '' }
  const faults: Error[] = []
  const threads = new RelayThreads({
    settings,
    pem: { certificate: readFileSync(certificatePath, 'utf8'), key: readFileSync(keyPath, 'utf8') },
    startedMs: Date.now(),
    onMessage: () => undefined,
    onFault: (error) => faults.push(error),
  })
  await threads.listen({ host: '127.0.0.1', port: 0 })
  // What no control thread says: a fault of ours, as far as the threads are concerned.
  threads.tellAll(JSON.parse('{"kind":"unacknowledged","remotes":7}'))
  await expect.poll(() => faults.map(String).join('\n')).toMatch(/TypeError[^]*ended by itself with code 1/)
  await threads.stop()
})

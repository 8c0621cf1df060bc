import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { firstStopSignal } from '#cli/stop-signal.ts'

test.each(['SIGTERM', 'SIGINT'])('settles at the first %s; a later signal ends at once', async (signal) => {
  const source = new EventEmitter()
  const [events, clock]: [string[], { ms: number }] = [[], { ms: 1_000 }]
  const stopped = firstStopSignal(
    source,
    () => events.push(`ended at ${clock.ms}`),
    () => clock.ms,
  )
  source.emit(signal, signal)
  expect(await stopped).toBe(signal)
  // Ctrl-C through npm arrives twice.
  clock.ms = 1_050
  source.emit('SIGINT', 'SIGINT')
  expect(events).toEqual([])
  clock.ms = 1_500
  source.emit('SIGTERM', 'SIGTERM')
  expect(events).toEqual(['ended at 1500'])
})

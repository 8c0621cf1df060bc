// Connections over the runtime's handles: their ends. Everything else is in acceptor.test.ts, for both acceptors.

import { expect, it, vi } from 'vitest'
import { NO_FLUSH_CONTROL } from '#transport/read-state.ts'
import { AcceptorHarness } from '../support/acceptor-harness.ts'

it(
  'when many connections end at once, a few dozen are handled per turn, and in the end all of them',
  { timeout: 30_000 },
  async () => {
    const harness = await new AcceptorHarness({ way: 'handles', tls: undefined }).open()
    try {
      const remotes = await Promise.all(Array.from({ length: 400 }, () => harness.remote()))
      await vi.waitFor(() => expect(harness.accepted.length).toBe(400))
      for (const remote of remotes) remote.resetAndDestroy()
      const perTurn: number[] = []
      let before = 0
      while (before < 400) {
        await new Promise(setImmediate)
        const closed = harness.accepted.reduce((sum, accepted) => sum + accepted.closedCount, 0)
        perTurn.push(closed - before)
        before = closed
      }
      expect(Math.max(...perTurn)).toBeLessThanOrEqual(64)
      await new Promise(setImmediate)
      expect(harness.accepted.every((accepted) => accepted.closedCount === 1)).toBe(true)
    } finally {
      await harness.close()
    }
  },
)

it('what was read before an end is written before the other ends are handled', async () => {
  const events: string[] = []
  const flushControl = { ...NO_FLUSH_CONTROL, flushSoFar: () => events.push('flush') }
  const harness = await new AcceptorHarness({ way: 'handles', tls: undefined }, { flushControl }).open()
  try {
    const remotes = await Promise.all(Array.from({ length: 40 }, () => harness.remote()))
    await vi.waitFor(() => expect(harness.accepted.length).toBe(40))
    for (const accepted of harness.accepted) accepted.onBytes = () => events.push('read')
    remotes[0]?.write('x')
    for (const remote of remotes.slice(1)) remote.resetAndDestroy()
    const ends = (): number => events.filter((event) => event === 'flush').length
    await vi.waitFor(() => expect(ends()).toBe(39))
    expect(events).toContain('read')
    expect(events.lastIndexOf('flush')).toBeGreaterThan(events.indexOf('read'))
  } finally {
    await harness.close()
  }
})

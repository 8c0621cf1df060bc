import { expect, it, vi } from 'vitest'
import { Hall } from '../support/acceptor-harness.ts'

it(
  'connections that end at once are seen off a few dozen a turn, and all of them',
  { timeout: 30_000 },
  async () => {
    const hall = await new Hall({ isDirect: true, tls: undefined }).open()
    try {
      const remotes = await Promise.all(Array.from({ length: 400 }, () => hall.remote()))
      await vi.waitFor(() => expect(hall.guests.length).toBe(400))
      for (const remote of remotes) remote.resetAndDestroy()
      const perTurn: number[] = []
      let before = 0
      while (before < 400) {
        await new Promise(setImmediate)
        const closed = hall.guests.reduce((sum, guest) => sum + guest.closedCount, 0)
        perTurn.push(closed - before)
        before = closed
      }
      expect(Math.max(...perTurn)).toBeLessThanOrEqual(64)
      await new Promise(setImmediate)
      expect(hall.guests.every((guest) => guest.closedCount === 1)).toBe(true)
    } finally {
      await hall.close()
    }
  },
)

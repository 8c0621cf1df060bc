import { expect, it } from 'vitest'
import { SingleThread } from '#relay/single-thread.ts'

it('a single thread has no other to read or to write to, and counts activity by itself', () => {
  const alone = new SingleThread()
  alone.present()
  alone.gone()
  const answers = [alone.drain(), alone.endTurn(), alone.sendPacket(), alone.isPressed()]
  expect(answers).toEqual([false, false, false, false])
  expect(alone.count).toBe(0)
  expect([alone.nextActivity(), alone.nextActivity()]).toEqual([1, 2])
})

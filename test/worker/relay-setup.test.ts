import { expect, it } from 'vitest'
import type { MemoryState } from '#worker/thread-messages.ts'
import { threadLimits } from '#worker/relay-setup.ts'
import { LIMITS } from '../support/live-relay.ts'

it('a thread has its part of what may wait, and an eighth of that when the memory of the process is spent', () => {
  const waiting = (memory: MemoryState): number =>
    threadLimits({ ...LIMITS, waitingBytesMax: 1_600 }, 2, memory).waitingBytesMax
  expect([waiting('enough'), waiting('short'), waiting('spent')]).toEqual([800, 800, 100])
})

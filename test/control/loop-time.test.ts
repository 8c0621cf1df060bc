import { expect, it } from 'vitest'
import { LoopTimes } from '#control/loop-time.ts'

it('never decreases when a thread ends, whose waiting the runtime then reports as less than nothing', () => {
  const times = new LoopTimes()
  expect(times.total({ activeMs: 167, idleMs: 164 })).toEqual({ activeMs: 167, idleMs: 164 })
  // What Node 22 reports of a worker between its last turn and its `exit` event.
  expect(times.total({ activeMs: 415, idleMs: -1 })).toEqual({ activeMs: 167, idleMs: 164 })
  expect(times.total({ activeMs: 0, idleMs: 0 })).toEqual({ activeMs: 167, idleMs: 164 })
  times.endOfThread()
  expect(times.total(undefined)).toEqual({ activeMs: 167, idleMs: 164 })
  expect(times.total({ activeMs: 5, idleMs: 2 })).toEqual({ activeMs: 172, idleMs: 166 })
})

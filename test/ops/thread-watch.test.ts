import { expect, it } from 'vitest'
import { ThreadWatch } from '#ops/thread-watch.ts'
import { Counter, Counters } from '#relay/counters.ts'

it('misses a thread that has not swept for five seconds, and no other', () => {
  let nowMs = 0
  const serving = [true, true]
  const [first, second] = [new Counters(), new Counters()]
  const watch = new ThreadWatch({ counters: [first, second], serving }, () => nowMs)
  for (; nowMs <= 20_000; nowMs += 1_000) {
    first.add(Counter.sweeps, 8)
    if (nowMs < 10_000) second.add(Counter.sweeps, 8)
    watch.look()
    expect(watch.check().isOk).toBe(nowMs <= 9_000 + 5_000)
  }
  expect(watch.check().detail).toMatch(/^no sign of life: thread 1 for \d+ s$/)
  second.add(Counter.sweeps, 1)
  watch.look()
  expect(watch.check()).toEqual({ isOk: true, detail: '2 of 2 turn' })
  serving[0] = false
  expect(watch.check()).toEqual({ isOk: false, detail: 'died, being started anew: thread 0' })
})

import { expect, it } from 'vitest'
import { ThreadWatch } from '#ops/thread-watch.ts'
import { Counter, Counters } from '#relay/counters.ts'

/** Two threads that turn when the test says so, and the hangs that were told. */
function watched() {
  const counters = [new Counters(), new Counters()] as const
  const [present, serving] = [
    [true, true],
    [true, true],
  ]
  const hangs: unknown[] = []
  const watch = new ThreadWatch({
    threads: { counters, present, serving },
    lookMs: 1_000,
    onHang: (thread, seconds) => hangs.push({ thread, seconds }),
  })
  /** Looks so often; whoever is named turns before each. */
  const look = (times: number, ...turning: number[]): void => {
    for (let count = 0; count < times; count++) {
      for (const thread of turning) counters[thread]?.add(Counter.sweeps, 8)
      watch.look()
    }
  }
  return { watch, look, hangs, present, serving }
}

it('misses a thread after five looks, gives it up after twenty, and no other', () => {
  const { watch, look, hangs } = watched()
  look(10, 0, 1)
  look(5, 0)
  expect(watch.check()).toEqual({ isOk: true, detail: '2 of 2 turn' })
  look(1, 0)
  expect(watch.check()).toEqual({ isOk: false, detail: 'no sign of life: thread 1 for 6 s' })
  look(13, 0)
  expect(hangs).toEqual([])
  look(10, 0)
  expect(hangs).toEqual([{ thread: 1, seconds: 20 }])
})

it('one that turns again in time is well, and has all its time again', () => {
  const { watch, look, hangs } = watched()
  look(1, 0, 1)
  for (let again = 0; again < 3; again++) {
    look(19, 0)
    look(1, 0, 1)
    expect(watch.check()).toEqual({ isOk: true, detail: '2 of 2 turn' })
  }
  expect(hangs).toEqual([])
})

it('a thread that has died does not hang; one that is silent while it starts anew does', () => {
  const { watch, look, hangs, present, serving } = watched()
  look(1, 0, 1)
  serving[0] = present[0] = false
  look(60, 1)
  expect(watch.check()).toEqual({ isOk: false, detail: 'died, being started anew: thread 0' })
  expect(hangs).toEqual([])
  present[0] = true
  look(6, 1)
  expect(watch.check()).toEqual({ isOk: false, detail: 'no sign of life: thread 0 for 6 s' })
  look(14, 1)
  expect(hangs).toEqual([{ thread: 0, seconds: 20 }])
})

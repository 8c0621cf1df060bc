import { expect, it } from 'vitest'
import { ThreadWatch } from '#ops/thread-watch.ts'
import { Counter, Counters } from '#relay/counters.ts'

/** Two threads that sweep when the test says so, and the reported hangs. */
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
  /** Looks `times` times; the named threads sweep before each look. */
  const look = (times: number, ...sweeping: number[]): void => {
    for (let count = 0; count < times; count++) {
      for (const thread of sweeping) counters[thread]?.add(Counter.sweeps, 8)
      watch.look()
    }
  }
  return { watch, look, hangs, present, serving }
}

it('reports a silent thread as unresponsive after five looks and as hung after twenty, and no other', () => {
  const { watch, look, hangs } = watched()
  look(10, 0, 1)
  look(5, 0)
  expect(watch.check()).toEqual({ isOk: true, detail: '2 of 2 relay threads responsive' })
  look(1, 0)
  expect(watch.check()).toEqual({ isOk: false, detail: 'unresponsive: thread 1 for 6 s' })
  look(13, 0)
  expect(hangs).toEqual([])
  look(10, 0)
  expect(hangs).toEqual([{ thread: 1, seconds: 20 }])
})

it('a thread that sweeps again in time passes, and its count starts from zero', () => {
  const { watch, look, hangs } = watched()
  look(1, 0, 1)
  for (let again = 0; again < 3; again++) {
    look(19, 0)
    look(1, 0, 1)
    expect(watch.check()).toEqual({ isOk: true, detail: '2 of 2 relay threads responsive' })
  }
  expect(hangs).toEqual([])
})

it('a dead thread does not hang; a thread that is silent during its restart does', () => {
  const { watch, look, hangs, present, serving } = watched()
  look(1, 0, 1)
  serving[0] = present[0] = false
  look(60, 1)
  expect(watch.check()).toEqual({ isOk: false, detail: 'died, restarting: thread 0' })
  expect(hangs).toEqual([])
  present[0] = true
  look(6, 1)
  expect(watch.check()).toEqual({ isOk: false, detail: 'unresponsive: thread 0 for 6 s' })
  look(14, 1)
  expect(hangs).toEqual([{ thread: 0, seconds: 20 }])
})

import { expect, it } from 'vitest'
import { Redial } from '#mesh/redial.ts'

/** A redial whose timers the test fires. */
function setUp(randomByte = 0) {
  const timers: { delayMs: number; fire: () => void }[] = []
  let dials = 0
  const redial = new Redial(
    {
      random: (bytes) => new Uint8Array(bytes).fill(randomByte),
      later: (delayMs, fire) => timers.push({ delayMs, fire }),
    },
    () => dials++,
  )
  return { redial, timers, dialled: () => dials }
}

it.each([0, 1, 128, 255])(
  "waits twice as long after each failure, up to derper's 5 s (random byte %i)",
  (byte) => {
    const { redial, timers } = setUp(byte)
    for (let n = 1; n <= 100; n++) redial.afterFailure()
    const expected = timers.map((_, i) => Math.min(5_000, 250 * 2 ** (i + 1)) * (1 + byte / 1_024))
    expect(timers.map(({ delayMs }) => delayMs)).toEqual(expected)
  },
)

it('a success resets the back-off, and a fixed delay gets jitter', () => {
  const { redial, timers } = setUp(128)
  for (let n = 1; n <= 5; n++) redial.afterFailure()
  redial.succeeded()
  redial.afterFailure()
  redial.after(30_000)
  expect(timers.slice(-2).map(({ delayMs }) => delayMs)).toEqual([562.5, 33_750])
})

it('dials at once where another run answers, and soon again, but not for longer than packets are held', () => {
  const { redial, timers } = setUp()
  redial.atOnce()
  for (let n = 1; n <= 5; n++) redial.afterFailure()
  expect(timers.map(({ delayMs }) => delayMs)).toEqual([0, 50, 50, 50, 50, 500])
  redial.succeeded()
  redial.afterFailure()
  expect(timers.at(-1)?.delayMs).toBe(500)
})

it('dials by its latest timer alone, and by none when cancelled', () => {
  const { redial, timers, dialled } = setUp()
  redial.after(1)
  redial.after(2)
  for (const { fire } of timers) fire()
  expect(dialled()).toBe(1)
  redial.after(3)
  redial.cancel()
  timers.at(-1)?.fire()
  expect(dialled()).toBe(1)
})

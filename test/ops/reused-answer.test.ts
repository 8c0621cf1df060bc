import { expect, it } from 'vitest'
import { ReusedAnswer } from '#ops/reused-answer.ts'
import { FakeClock } from '../support/fake-clock.ts'

it('is new below the rate, and at most 200 ms old above', async () => {
  const clock = new FakeClock()
  const answers = new ReusedAnswer<number>(clock.now)
  let made = 0
  const ask = async (): Promise<number> => await answers.answer(() => ++made)
  // A test or a person that looks twice sees what has happened in between.
  for (let n = 1; n <= 20; n++) expect(await ask()).toBe(n)
  for (let second = 0; second < 10; second++) {
    for (let n = 0; n < 100; n++) {
      clock.advance(10)
      await ask()
    }
  }
  expect(made).toBeGreaterThan(65)
  expect(made).toBeLessThanOrEqual(72)
  const before = made
  clock.advance(200)
  expect(await ask()).toBe(before + 1)
})

it('a page that could not be made is made again', async () => {
  const answers = new ReusedAnswer<string>(() => 0)
  for (let n = 0; n < 30; n++) await answers.answer(() => 'page')
  const clock = new FakeClock()
  const failing = new ReusedAnswer<string>(clock.now)
  for (let n = 0; n < 30; n++) {
    await expect(
      failing.answer(() => {
        throw new Error('no memory')
      }),
    ).rejects.toThrow('no memory')
  }
  expect(await failing.answer(() => 'page')).toBe('page')
})

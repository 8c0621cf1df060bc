import { expect, it } from 'vitest'
import { StunWatch } from '#ops/stun-watch.ts'

it('passes if the last test request was answered', async () => {
  let answer = async (): Promise<number> => 1.25
  const watch = new StunWatch(async () => await answer())
  expect(watch.check().isOk).toBe(false)
  await watch.look()
  expect(watch.check()).toEqual({ isOk: true, detail: 'test request answered in 1.3 ms' })
  answer = async () => {
    throw new Error('no STUN answer within 3000 ms')
  }
  await watch.look()
  expect(watch.check()).toEqual({ isOk: false, detail: 'no STUN answer within 3000 ms' })
})

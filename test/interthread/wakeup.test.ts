import { expect, it } from 'vitest'
import { Wakeup } from '#interthread/wakeup.ts'

it('an owner that waits is woken, and one that begins to wait after the wake does not sleep', async () => {
  const wakeup = new Wakeup(Wakeup.memory())
  const before = wakeup.count()
  const woken = wakeup.wait(before)
  wakeup.wake()
  await woken
  expect(wakeup.count()).toBe(before + 1)
  await wakeup.wait(before)
})

it('an owner that is awake is not woken, and one that sleeps is woken once', () => {
  const wakeup = new Wakeup(Wakeup.memory())
  const wakes = (): number => {
    wakeup.wake()
    return wakeup.count()
  }
  expect([wakes(), wakes()]).toEqual([1, 1])
  wakeup.setAwake(true)
  expect(wakes()).toBe(1)
  wakeup.setAwake(false)
  expect([wakes(), wakes()]).toEqual([2, 2])
})

it('an owner that polls is woken for urgent frames only, and once', () => {
  const wakeup = new Wakeup(Wakeup.memory())
  wakeup.setPolling()
  const wakes = (isUrgent: boolean): number => {
    wakeup.wake(isUrgent)
    return wakeup.count()
  }
  expect([wakes(false), wakes(true), wakes(true), wakes(false)]).toEqual([0, 1, 1, 1])
  wakeup.setAwake(false)
  expect(wakes(false)).toBe(2)
})

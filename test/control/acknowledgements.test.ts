// When relay threads count as told: each has answered, or has ended.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Acknowledgements } from '#control/acknowledgements.ts'

/** A wait for these threads, with the mark that they were sent. */
function waitFor(all: Acknowledgements, threads: readonly number[]): { mark: number; isOver: () => boolean } {
  let [mark, isOver] = [0, false]
  void all.of(threads, (sent) => (mark = sent)).then(() => (isOver = true))
  return { mark, isOver: () => isOver }
}

it('is over when every thread has answered this mark', async () => {
  const all = new Acknowledgements()
  const earlier = waitFor(all, [0, 1])
  const { mark, isOver } = waitFor(all, [0, 1])
  all.acknowledged(0, mark)
  all.acknowledged(1, earlier.mark)
  await nextTurn()
  // A later mark says all that an earlier one did.
  expect([earlier.isOver(), isOver()]).toEqual([true, false])
  all.acknowledged(1, mark)
  await nextTurn()
  expect(isOver()).toBe(true)
})

it('does not wait for a thread that ends, nor for none', async () => {
  const all = new Acknowledgements()
  const { mark, isOver } = waitFor(all, [0, 1])
  const none = waitFor(all, [])
  all.acknowledged(0, mark)
  await nextTurn()
  expect([isOver(), none.isOver()]).toEqual([false, true])
  all.threadEnded(1)
  await nextTurn()
  expect(isOver()).toBe(true)
})

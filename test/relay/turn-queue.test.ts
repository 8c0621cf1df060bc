import { expect, it } from 'vitest'
import { TurnQueue } from '#relay/turn-queue.ts'

/** Works that take `workMs` each; what was done in which turn. */
function turnstile(limits: { perTurnMax: number; perTurnMs: number }, workMs: number) {
  let nowMs = 0
  let turns: (() => void)[] = []
  const done: number[][] = [[]]
  const stile = new TurnQueue({ ...limits, now: () => nowMs, nextTurn: (callback) => turns.push(callback) })
  return {
    done,
    come: (who: number) =>
      stile.pass(() => {
        nowMs += workMs
        done.at(-1)?.push(who)
      }),
    isFree: () => stile.isFree,
    /** False: nobody waits for another turn. */
    nextTurn: () => {
      const callbacks = turns
      turns = []
      done.push([])
      for (const callback of callbacks) callback()
      return callbacks.length > 0
    },
  }
}

it('so many are let through in a turn, in the order in which they came, and each once', () => {
  const { come, done, nextTurn, isFree } = turnstile({ perTurnMax: 3, perTurnMs: 100 }, 1)
  for (let who = 0; who < 8; who++) come(who)
  expect(isFree()).toBe(false)
  nextTurn()
  // Who comes while others wait is not let in before them.
  come(8)
  while (nextTurn());
  expect(done.filter((turn) => turn.length > 0)).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7, 8],
  ])
  expect(isFree()).toBe(true)
})

it('no more is begun in a turn when its time is spent', () => {
  const { come, done, nextTurn } = turnstile({ perTurnMax: Infinity, perTurnMs: 5 }, 2)
  for (let who = 0; who < 7; who++) come(who)
  while (nextTurn());
  expect(done.filter((turn) => turn.length > 0)).toEqual([[0, 1, 2], [3, 4, 5], [6]])
})

it('asks for no turn when nothing came since the last', () => {
  const { come, nextTurn } = turnstile({ perTurnMax: 1, perTurnMs: 5 }, 1)
  come(0)
  expect(nextTurn()).toBe(true)
  expect(nextTurn()).toBe(false)
})

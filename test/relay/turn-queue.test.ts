import { expect, it } from 'vitest'
import { TurnQueue } from '#relay/turn-queue.ts'

/** A queue of work that takes `workMs` each, and which work was done in which turn. */
function startQueue(
  limits: { perTurnMax: number; perTurnMs: number; shareOfTurn?: number },
  workMs: number,
  otherMs = 0,
) {
  let nowMs = 0
  let turns: (() => void)[] = []
  const done: number[][] = [[]]
  const queue = new TurnQueue({
    shareOfTurn: 0,
    ...limits,
    now: () => nowMs,
    nextTurn: (callback) => turns.push(callback),
  })
  return {
    done,
    add: (work: number) =>
      queue.run(() => {
        nowMs += workMs
        done.at(-1)?.push(work)
      }),
    isFree: () => queue.isFree,
    /** Returns false if no other turn was asked for. */
    nextTurn: () => {
      const callbacks = turns
      turns = []
      nowMs += otherMs
      done.push([])
      for (const callback of callbacks) callback()
      return callbacks.length > 0
    },
  }
}

it('a turn does a limited number of pieces of work, in the order in which they came, and each once', () => {
  const { add, done, nextTurn, isFree } = startQueue({ perTurnMax: 3, perTurnMs: 100 }, 1)
  for (let work = 0; work < 8; work++) add(work)
  expect(isFree()).toBe(false)
  nextTurn()
  // Work that comes while other work waits is not done before it.
  add(8)
  while (nextTurn());
  expect(done.filter((turn) => turn.length > 0)).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7, 8],
  ])
  expect(isFree()).toBe(true)
})

it('no more is begun in a turn when its time is spent', () => {
  const { add, done, nextTurn } = startQueue({ perTurnMax: Infinity, perTurnMs: 5 }, 2)
  for (let work = 0; work < 7; work++) add(work)
  while (nextTurn());
  expect(done.filter((turn) => turn.length > 0)).toEqual([[0, 1, 2], [3, 4, 5], [6]])
})

it('a turn that takes long for other things does more of the work', () => {
  const { add, done, nextTurn } = startQueue({ perTurnMax: Infinity, perTurnMs: 2, shareOfTurn: 0.5 }, 1, 10)
  for (let work = 0; work < 14; work++) add(work)
  while (nextTurn());
  // What happened before the first turn may have been a wait.
  expect(done.map((turn) => turn.length).filter((count) => count > 0)).toEqual([2, 2, 5, 5])
})

it('asks for no turn when no work has come since the last one', () => {
  const { add, nextTurn } = startQueue({ perTurnMax: 1, perTurnMs: 5 }, 1)
  add(0)
  expect(nextTurn()).toBe(true)
  expect(nextTurn()).toBe(false)
})

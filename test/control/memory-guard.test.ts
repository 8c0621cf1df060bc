// The bound of the process's memory: what begins at it, what a little beyond, and when it ends.

import { expect, it } from 'vitest'
import { MemoryGuard } from '#control/memory-guard.ts'
import { Log } from '#ops/log.ts'

class Guarded {
  nowMs = 0
  residentBytes = 0
  readonly states: string[] = []
  readonly events: string[] = []
  givenBack = 0
  readonly guard = new MemoryGuard({
    bytesMax: 1_000,
    residentBytes: () => this.residentBytes,
    log: new Log('info', {
      write: (line) => this.events.push((JSON.parse(line) as { event: string }).event),
    }),
    now: () => this.nowMs,
    onState: (state) => this.states.push(state),
    giveBack: () => this.givenBack++,
  })

  /** So many seconds with so much. */
  pass(seconds: number, residentBytes: number): this {
    this.residentBytes = residentBytes
    for (let n = 0; n < seconds; n++) {
      this.guard.look()
      this.nowMs += 1_000
    }
    return this
  }
}

it('at the bound it is short, a little beyond it is spent, and it ends well below after some calm time', () => {
  const guarded = new Guarded().pass(3, 999)
  expect([guarded.states, guarded.guard.check().isOk]).toEqual([[], true])
  guarded.pass(3, 1_000)
  expect([guarded.states, guarded.guard.check().isOk]).toEqual([['short'], false])
  guarded.pass(3, 1_050).pass(60, 960)
  expect(guarded.states).toEqual(['short', 'spent', 'short'])
  guarded.pass(4, 940)
  expect(guarded.guard.check().isOk).toBe(false)
  guarded.pass(3, 940)
  expect(guarded.states).toEqual(['short', 'spent', 'short', 'enough'])
  expect(guarded.events).toEqual(['memory_short', 'memory_short', 'memory_enough'])
})

it('what swings around the bound begins once, and memory is given back once a minute', () => {
  const guarded = new Guarded()
  for (let n = 0; n < 30; n++) guarded.pass(1, 1_001).pass(1, 940)
  expect([guarded.states, guarded.givenBack]).toEqual([['short'], 1])
  guarded.pass(2, 1_001)
  expect(guarded.givenBack).toBe(2)
})

it('another bound counts at once, and none ends it', () => {
  const guarded = new Guarded().pass(1, 1_200)
  guarded.guard.setBytesMax(2_000)
  expect(guarded.states).toEqual(['spent', 'enough'])
  guarded.guard.setBytesMax(1_200)
  guarded.guard.setBytesMax(Infinity)
  expect(guarded.states).toEqual(['spent', 'enough', 'short', 'enough'])
  expect(guarded.guard.check()).toEqual({ isOk: true, detail: 'no bound' })
})

import { expect, it } from 'vitest'
import { RecordChecks } from '#transport/record-checks.ts'

const SWEEP_MS = 62
const HALF_SECOND_MS = 500

class Checked {
  readonly checkedMs: number[] = []

  checkRecords(nowMs: number): void {
    this.checkedMs.push(nowMs)
  }
}

function started(count: number) {
  const connections = Array.from({ length: count }, () => new Checked())
  return { checks: new RecordChecks(0), connections }
}

it('a connection is looked at once within half a second after it was noted, whatever the moment, and then no more', () => {
  for (let before = 0; before < 12; before++) {
    const { checks, connections } = started(1_000)
    let nowMs = 0
    for (let sweep = 0; sweep < before; sweep++) {
      checks.note(new Checked())
      checks.sweep((nowMs += SWEEP_MS))
    }
    const notedMs = nowMs
    for (const one of connections) checks.note(one)
    for (let sweep = 0; sweep < 50; sweep++) checks.sweep((nowMs += SWEEP_MS))
    expect(connections.every(({ checkedMs }) => checkedMs.length === 1)).toBe(true)
    expect(Math.max(...connections.flatMap(({ checkedMs }) => checkedMs)) - notedMs).toBeLessThanOrEqual(
      HALF_SECOND_MS,
    )
  }
})

it('no sweep looks at more than its part of many', () => {
  const { checks, connections } = started(1_000)
  for (const one of connections) checks.note(one)
  for (let sweep = 1; sweep <= 4; sweep++) {
    checks.sweep(sweep * SWEEP_MS)
    expect(connections.filter(({ checkedMs }) => checkedMs.length > 0).length).toBe(250 * sweep)
  }
})

it('a late sweep looks at all: those of this round and those that were noted since', () => {
  const { checks, connections } = started(1_000)
  for (const one of connections) checks.note(one)
  checks.sweep(SWEEP_MS)
  const later = new Checked()
  checks.note(later)
  checks.sweep(SWEEP_MS + 150)
  expect([...connections, later].every(({ checkedMs }) => checkedMs.length === 1)).toBe(true)
})

it('a connection that is noted while it is looked at is looked at again, once per round', () => {
  const checks = new RecordChecks(0)
  let count = 0
  const always = {
    checkRecords: (): void => {
      count++
      checks.note(always)
    },
  }
  checks.note(always)
  for (let sweep = 1; sweep <= 40; sweep++) checks.sweep(sweep * SWEEP_MS)
  expect(count).toBeGreaterThanOrEqual(10)
  expect(count).toBeLessThanOrEqual(40)
  const before = count
  checks.sweep(100 * SWEEP_MS)
  expect(count - before).toBeLessThanOrEqual(2)
})

// When a connection is asked whether it lives, and when it is cut.

import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { LivenessWatch } from '#client/liveness-watch.ts'

let nowMs = 0
let queuedBytes = 0
let events: string[] = []

beforeEach(() => {
  nowMs = 0
  queuedBytes = 0
  events = []
})

function watched(): LivenessWatch {
  const watch = new LivenessWatch(
    { pingEveryMs: 3_600_000 },
    {
      ping: () => events.push(`${nowMs} ping`),
      onDead: (silentMs) => events.push(`${nowMs} dead after ${silentMs}`),
      queuedBytes: () => queuedBytes,
      now: () => nowMs,
    },
  )
  onTestFinished(() => watch.stop())
  return watch
}

function seconds(watch: LivenessWatch, count: number, each: () => void = () => undefined): void {
  for (let i = 0; i < count; i++) {
    each()
    nowMs += 1_000
    watch.look()
  }
}

test('an idle connection, and one that is answered, are not asked', () => {
  const watch = watched()
  seconds(watch, 60)
  seconds(watch, 60, () => {
    watch.sent()
    watch.heard()
  })
  seconds(watch, 60, () => watch.heard())
  expect(events).toEqual([])
})

test('after something was sent, it is asked every second, and cut after three without an answer', () => {
  const watch = watched()
  watch.sent()
  seconds(watch, 6)
  expect(events).toEqual(['1000 ping', '2000 ping', '3000 ping', '4000 dead after 3000'])
})

test('an answer in time ends the doubt', () => {
  const watch = watched()
  watch.sent()
  seconds(watch, 3)
  watch.heard()
  seconds(watch, 10)
  expect(events).toEqual(['1000 ping', '2000 ping', '3000 ping'])
})

test('a queue that gets shorter is an answer, one that does not is none', () => {
  const watch = watched()
  queuedBytes = 100_000
  seconds(watch, 10, () => {
    watch.sent()
    queuedBytes -= 1_000
  })
  expect(events.filter((event) => event.includes('dead'))).toEqual([])
  seconds(watch, 4, () => watch.sent())
  expect(events.at(-1)).toContain('dead after 3000')
})

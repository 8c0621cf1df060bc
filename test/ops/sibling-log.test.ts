import { beforeEach, expect, it } from 'vitest'
import { Log } from '#ops/log.ts'
import { SiblingLog, type LinkState } from '#ops/sibling-log.ts'

let lines: Record<string, unknown>[]
let siblings: SiblingLog

beforeEach(() => {
  lines = []
  siblings = new SiblingLog(new Log('info', { write: (line) => lines.push(JSON.parse(line)) }))
})

const link = (state: string, why = '', name = 'derp2.lab'): LinkState => ({ name, state, why })
const events = (): unknown[] => lines.map(({ event }) => event)

it('logs when a sibling comes up, and when it goes down and why, but no attempts between', () => {
  for (const state of ['waiting', 'dialling', 'greeted', 'up', 'up'])
    siblings.write(0, [link(state, 'refuses')])
  for (let tries = 0; tries < 50; tries++) {
    for (const state of ['waiting', 'dialling', 'greeted'])
      siblings.write(0, [link(state, `reason ${tries % 10}`)])
  }
  siblings.write(0, [link('up')])
  siblings.write(0, [link('waiting', 'refuses')])
  expect(lines.map(({ event, level, reason }) => [event, level, reason])).toEqual([
    ['sibling_down', 'warn', 'refuses'],
    ['sibling_up', 'info', undefined],
    ...[0, 1, 2, 3].map((i) => ['sibling_down', 'warn', `reason ${i}`]),
    ['sibling_up', 'info', undefined],
    ['sibling_down', 'warn', 'refuses'],
  ])
})

it('logs the links of one thread only', () => {
  siblings.write(1, [link('up')])
  siblings.write(0, [link('waiting', 'refuses')])
  siblings.write(1, [link('waiting', 'is down')])
  expect(lines.map(({ event, reason }) => [event, reason])).toEqual([
    ['sibling_up', undefined],
    ['sibling_down', 'is down'],
  ])
})

it('logs a copied key once, as an error, and a relay in its own list once, at info', () => {
  for (let tries = 0; tries < 5; tries++) {
    for (const state of ['copied', 'dialling', 'greeted']) {
      siblings.write(0, [link(state, 'has the key of this relay, too'), link('self', '', 'derp1.lab')])
    }
  }
  expect(lines.map(({ event, level, sibling }) => [event, level, sibling])).toEqual([
    ['sibling_key_conflict', 'error', 'derp2.lab'],
    ['sibling_is_self', 'info', 'derp1.lab'],
  ])
})

it('forgets siblings that have left', () => {
  for (const state of ['up', 'closed', 'up']) siblings.write(0, [link(state)])
  siblings.write(0, [])
  siblings.write(0, [link('up')])
  expect(events()).toEqual(['sibling_up', 'sibling_up', 'sibling_up'])
})

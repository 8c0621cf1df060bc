import { expect, it } from 'vitest'
import { Log, type LogLevel } from '#ops/log.ts'
import { SessionStartLog, type SessionStartText } from '#ops/session-start-log.ts'
import { FakeClock } from '../support/fake-clock.ts'

const alice: SessionStartText = {
  key: '[abcde]',
  remote: '192.0.2.1:5',
  way: 'derp',
  kind: 'client',
  app: undefined,
}

function open(level: LogLevel): { log: SessionStartLog; clock: FakeClock; take: () => unknown[] } {
  const lines: unknown[] = []
  const clock = new FakeClock()
  const sink = new Log(level, { write: (line) => lines.push(JSON.parse(line)) })
  const log = new SessionStartLog({ log: sink, linesPerSecond: 3, later: clock.later, now: clock.now })
  return { log, clock, take: () => lines.splice(0) }
}

it('logs a login at debug, with key, remote and way in', () => {
  const { log, take } = open('debug')
  log.write(alice)
  log.write({ ...alice, way: 'websocket', app: 'browser' })
  log.writeHome({ key: '[abcde]', home: true })
  expect(take()).toMatchObject([
    { level: 'debug', event: 'session_started', key: '[abcde]', remote: '192.0.2.1:5', way: 'derp' },
    { event: 'session_started', way: 'websocket', app: 'browser' },
    { level: 'debug', event: 'home_changed', key: '[abcde]', home: true },
  ])
})

it('logs nothing at info, and counts nothing', () => {
  const { log, clock, take } = open('info')
  for (let n = 0; n < 10; n++) log.write(alice)
  log.writeHome({ key: '[abcde]', home: true })
  clock.advance(5_000)
  expect(take()).toEqual([])
})

it('a storm of logins causes a few lines, and one that counts the rest by way in', () => {
  const { log, clock, take } = open('debug')
  for (let n = 0; n < 10; n++) log.write(alice)
  for (let n = 0; n < 5; n++) log.write({ ...alice, way: 'fast_start' })
  expect(take()).toHaveLength(3)
  clock.advance(1_000)
  expect(take()).toMatchObject([
    { level: 'debug', event: 'sessions_started_suppressed', count: 12, ways: { derp: 7, fast_start: 5 } },
  ])
  log.write(alice)
  expect(take()).toHaveLength(1)
})

import { beforeEach, expect, it } from 'vitest'
import { Log, type LogLevel } from '#ops/log.ts'
import { SessionEndLog } from '#ops/session-end-log.ts'
import { EndReason } from '#relay/end-reason.ts'
import { FakeClock } from '../support/fake-clock.ts'

let clock: FakeClock
let lines: Record<string, unknown>[]

beforeEach(() => {
  clock = new FakeClock()
  lines = []
})

function open(level: LogLevel, linesPerSecond = 3): SessionEndLog {
  const log = new Log(level, { write: (line) => lines.push(JSON.parse(line)) })
  return new SessionEndLog({ log, linesPerSecond, later: clock.later, now: clock.now })
}

function end(log: SessionEndLog, reason: EndReason, count = 1): void {
  for (let at = 0; at < count; at++)
    log.write({ reason, remote: `192.0.2.1:${at}`, key: '[abcde]', cause: undefined })
}

/** The lines so far, in short form; empties the list. */
function take(): unknown[] {
  const short = lines.map(({ level, event, reason, count, reasons }) =>
    event === 'session_ended' ? `${String(level)} ${String(reason)}` : { level, count, reasons },
  )
  lines = []
  return short
}

it('logs each end with its reason, remote and key', () => {
  const log = open('info')
  log.write({ reason: EndReason.keyZero, remote: '[2001:db8::1]:443', key: undefined, cause: 'it is zero' })
  end(log, EndReason.writeStalled)
  expect(lines).toMatchObject([
    {
      level: 'info',
      event: 'session_ended',
      reason: 'key_zero',
      remote: '[2001:db8::1]:443',
      cause: 'it is zero',
    },
    { event: 'session_ended', reason: 'write_stalled', remote: '192.0.2.1:0', key: '[abcde]' },
  ])
  expect(lines[0]).not.toHaveProperty('key')
})

it('logs ordinary ends at debug only, and does not count them at info', () => {
  const log = open('info')
  end(log, EndReason.remoteClosed, 10)
  end(log, EndReason.remoteReset, 10)
  end(log, EndReason.shutdown, 10)
  end(log, EndReason.boxRefused, 3)
  clock.advance(5_000)
  expect(take()).toEqual(['info box_refused', 'info box_refused', 'info box_refused'])
  const verbose = open('debug')
  end(verbose, EndReason.remoteClosed)
  expect(take()).toEqual(['debug remote_closed'])
})

it('reports suppressed ends in one line at the end of the second', () => {
  const log = open('info')
  end(log, EndReason.boxRefused, 2)
  clock.advance(400)
  end(log, EndReason.boxRefused, 5)
  end(log, EndReason.keyZero, 2)
  expect(take()).toHaveLength(3)
  clock.advance(599)
  expect(take()).toEqual([])
  clock.advance(1)
  expect(take()).toEqual([{ level: 'info', count: 6, reasons: { box_refused: 4, key_zero: 2 } }])
  end(log, EndReason.pingLength)
  expect(take()).toEqual(['info ping_length'])
  clock.advance(10_000)
  expect(take()).toEqual([])
})

it('a flood causes at most the limit and one line per second', () => {
  const log = open('info')
  for (let ms = 0; ms < 10_000; ms++) {
    end(log, EndReason.boxRefused, 2)
    clock.advance(1)
  }
  clock.advance(1_000)
  expect(lines.length).toBeLessThanOrEqual(44)
  const reported = lines.reduce((sum, { count }) => sum + (typeof count === 'number' ? count : 1), 0)
  expect(reported).toBe(20_000)
})

it('sets no timer while no line is suppressed', () => {
  const log = open('info')
  for (let second = 0; second < 5; second++) {
    end(log, EndReason.boxRefused, 3)
    clock.advance(1_000)
  }
  expect(clock.waiting).toBe(0)
  expect(take()).toHaveLength(15)
})

it('reports suppressed ordinary ends at debug', () => {
  const log = open('debug', 1)
  end(log, EndReason.remoteClosed, 3)
  clock.advance(1_000)
  expect(take()).toEqual(['debug remote_closed', { level: 'debug', count: 2, reasons: { remote_closed: 2 } }])
})

it('writes no further line until a late report is written', () => {
  const late: (() => void)[] = []
  const log = new Log('info', { write: (line) => lines.push(JSON.parse(line)) })
  const later = (_delayMs: number, callback: () => void): void => void late.push(callback)
  const ends = new SessionEndLog({ log, linesPerSecond: 1, later, now: clock.now })
  end(ends, EndReason.boxRefused, 2)
  clock.advance(1_500)
  end(ends, EndReason.boxRefused, 2)
  expect(take()).toEqual(['info box_refused'])
  for (const callback of late) callback()
  expect(take()).toEqual([{ level: 'info', count: 3, reasons: { box_refused: 3 } }])
  end(ends, EndReason.boxRefused)
  expect(take()).toEqual(['info box_refused'])
})

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { readToNewerRun, readToOlderRun } from '#control/run-messages.ts'

const JOIN = { kind: 'join', formats: [1], version: '0.2.0', key: 'nodekey:ab', pid: 12, threads: 4 }
const JOINED = {
  kind: 'joined',
  format: 1,
  version: '0.2.0',
  run: 3,
  pid: 12,
  threads: 4,
  instance: 'ab12',
  activity: -5,
  ports: { derp: 443, stun: 3478 },
  socket: 'run-bridge-12ab.sock',
  token: 'ab'.repeat(32),
}

it('what a run of this version says is read', () => {
  expect(readToOlderRun(JOIN)).toEqual(JOIN)
  expect(readToOlderRun({ kind: 'handOver' })).toEqual({ kind: 'handOver' })
  expect(readToNewerRun(JOINED)).toEqual(JOINED)
  const counters = { kind: 'counters', counters: { loginsTotal: 5, 'later name': 0.5 } }
  expect(readToNewerRun(counters)).toEqual(counters)
  expect(readToNewerRun({ ...counters, kind: 'ended' })).toEqual({ ...counters, kind: 'ended' })
  expect(readToNewerRun({ kind: 'refused', reason: 'why' })).toEqual({
    kind: 'refused',
    reason: 'why',
    mayRetry: false,
  })
})

it('what a later version adds is passed over', () => {
  expect(readToOlderRun({ ...JOIN, mood: 'good' })).toEqual(JOIN)
  expect(readToNewerRun({ ...JOINED, mood: 'good' })).toEqual(JOINED)
  expect(readToOlderRun({ kind: 'dance' })).toEqual({ kind: 'unknown' })
  expect(readToNewerRun({ kind: 'dance' })).toEqual({ kind: 'unknown' })
  expect(readToNewerRun({})).toEqual({ kind: 'unknown' })
})

it.each<[keyof typeof JOIN, unknown]>([
  ['formats', 1],
  ['formats', [1.5]],
  ['formats', Array.from({ length: 1_001 }, () => 1)],
  ['version', undefined],
  ['key', 'k'.repeat(1_001)],
  ['pid', -1],
  ['threads', 0],
  ['threads', 257],
  ['threads', '4'],
])('a join with %s %j is refused', (name, value) => {
  expect(readToOlderRun({ ...JOIN, [name]: value })).toEqual({ kind: 'unreadable' })
})

it.each<[keyof typeof JOINED, unknown]>([
  ['format', '1'],
  ['run', -1],
  ['threads', 257],
  ['instance', '../x'],
  ['activity', null],
  ['ports', { derp: 65_536 }],
  ['ports', [443]],
  ['socket', '../../etc/passwd'],
  ['socket', '.hidden'],
  ['socket', 'a/b'],
  ['token', 'ab'],
])('an answer with %s %j is refused', (name, value) => {
  expect(readToNewerRun({ ...JOINED, [name]: value })).toEqual({ kind: 'unreadable' })
})

it.each([null, [1], { a: 'text' }, { a: null }, { a: { b: 1 } }])('counters %j are refused', (counters) => {
  expect(readToNewerRun({ kind: 'counters', counters })).toEqual({ kind: 'unreadable' })
})

it('more counters than any version has are refused', () => {
  const counters = Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [`n${n}`, n]))
  expect(readToNewerRun({ kind: 'ended', counters })).toEqual({ kind: 'unreadable' })
})

it('no object whatever makes a reader fail', () => {
  const kind = fc.constantFrom('join', 'handOver', 'joined', 'refused', 'counters', 'ended', 'handedOver')
  const message = fc.record({ kind, counters: fc.object(), ports: fc.object() }, { requiredKeys: [] })
  fc.assert(
    fc.property(message, fc.object(), (known, more) => {
      readToOlderRun({ ...more, ...known })
      readToNewerRun({ ...more, ...known })
    }),
  )
})

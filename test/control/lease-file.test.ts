// What a relay keeps of leases, and what it does and says as time goes on, or jumps. Its clock is the test's.

import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LeaseClock } from '#admission/lease-clock.ts'
import type { LeaseRules } from '#admission/leases.ts'
import { LeaseFile } from '#control/lease-file.ts'
import { LeaseMemory } from '#control/lease-memory.ts'
import { Log } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'
import { leaseKeyText, leaseText, type LeaseEntry } from '#protocol/lease.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const SIGNER = generateKeyPairSync('ed25519').privateKey
const KEY = leaseKeyText(SIGNER)
const ALICE = new Uint8Array(32).fill(0xaa)
const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 10, 27, 14)

let folder: TemporaryFolder
let [wallMs, monotonicMs] = [START_MS, 0]
let lines: string
let changes: number
let rules: LeaseRules | undefined
beforeEach(() => {
  folder = new TemporaryFolder()
  ;[wallMs, monotonicMs, lines, changes] = [START_MS, 0, '', 0]
})
afterEach(() => folder[Symbol.dispose]())

function made(serial: number, hours = 1): string {
  const notAfterMs = START_MS + hours * HOUR_MS
  const entry: LeaseEntry = {
    key: ALICE,
    isAllowed: true,
    tenant: undefined,
    untilMs: notAfterMs,
    name: undefined,
  }
  return leaseText({ serial, notBeforeMs: START_MS, notAfterMs, entries: [entry] }, SIGNER)
}

const log = new Log('info', { write: (line: string) => void (lines += line) })
const events = (): string[] => [...lines.matchAll(/"event":"([a-z_]+)"/g)].map(([, event = '']) => event)

function open(stateFolder?: string): LeaseFile {
  const file = new LeaseFile({
    log,
    reloads: new Reloads(log, Date.now),
    stateFolder,
    onLeases: (leases) => (rules = leases),
    onChange: () => changes++,
    clock: new LeaseClock({ wall: () => wallMs, monotonic: () => monotonicMs }),
  })
  file.setSource({ path: folder.at('members.lease'), keys: [KEY] })
  return file
}

function pass(file: LeaseFile, seconds: number): void {
  for (let n = 0; n < seconds; n++) {
    wallMs += 1_000
    monotonicMs += 1_000
    file.look()
  }
}

const isIn = (): boolean => (rules?.find(ALICE)?.leftMs ?? 0) > 0

it('a jump of the clock by a day counts after a minute: clients are asked about again, and the lease has ended', () => {
  folder.write('members.lease', made(1, 3))
  const file = open()
  wallMs += 24 * HOUR_MS
  pass(file, 58)
  expect([isIn(), changes, events()]).toEqual([true, 0, ['clock_jumped']])
  pass(file, 5)
  expect([isIn(), changes, events()]).toEqual([false, 1, ['clock_jumped', 'clock_followed', 'lease_ended']])
  expect(lines).toContain('"seconds":86400')
  // Set right, it counts again, as slowly.
  wallMs -= 24 * HOUR_MS
  pass(file, 58)
  expect(isIn()).toBe(false)
  pass(file, 5)
  expect([isIn(), changes]).toEqual([true, 2])
})

it('a jump that is taken back makes no difference', () => {
  folder.write('members.lease', made(1))
  const file = open()
  for (const jumpMs of [24 * HOUR_MS, -48 * HOUR_MS, 24 * HOUR_MS]) {
    wallMs += jumpMs
    pass(file, 20)
  }
  pass(file, 120)
  expect([isIn(), changes]).toEqual([true, 0])
})

it('keys are exchanged while the relay runs: the lease in use counts as long as its key does', () => {
  folder.write('members.lease', made(5))
  const file = open(folder.path)
  const path = folder.at('members.lease')
  const other = leaseKeyText(generateKeyPairSync('ed25519').privateKey)
  const isInWith = (...keys: readonly string[]): boolean => {
    file.setSource({ path, keys })
    return isIn()
  }
  expect([isInWith(KEY, other), isInWith(other), isInWith(other, KEY)]).toEqual([true, false, true])
  // Its serial was not forgotten meanwhile.
  folder.write('members.lease', made(4))
  expect(isInWith(KEY)).toBe(true)
  expect(readFileSync(folder.at('lease.json'), 'utf8')).toContain('serial 5')
  file.setSource(undefined)
  expect(rules).toBeUndefined()
})

it('tells once that the lease ends soon, and that it has', () => {
  folder.write('members.lease', made(1))
  const file = open()
  pass(file, 3_239)
  expect(events()).toEqual([])
  pass(file, 100)
  expect(events()).toEqual(['lease_ending'])
  pass(file, 400)
  expect(events()).toEqual(['lease_ending', 'lease_ended'])
})

it('keeps the lease for the next run, readable by its user alone', () => {
  const text = made(5)
  folder.write('members.lease', text)
  open(folder.path)
  expect(statSync(folder.at('lease.json')).mode & 0o777).toBe(0o600)
  expect(JSON.parse(readFileSync(folder.at('lease.json'), 'utf8'))).toEqual({
    format: 1,
    serials: { [KEY]: 5 },
    lease: text,
  })
})

it.each([
  ['half of it', (text: string) => text.slice(0, 300)],
  ['nothing', () => ''],
  ['something else', () => '[1]'],
  ['another format', (text: string) => text.replace('"format":1', '"format":2')],
  [
    'a lease that nobody has signed',
    (text: string) => text.replace('aaaaaaaa', 'aaaaaaab').replace(':5}', ':0}'),
  ],
])('goes by the file when the state folder has %s', (_case, change) => {
  folder.write('members.lease', made(5))
  open(folder.path)
  writeFileSync(folder.at('lease.json'), change(readFileSync(folder.at('lease.json'), 'utf8')))
  folder.write('members.lease', 'half a')
  open(folder.path)
  expect(isIn()).toBe(false)
  folder.write('members.lease', made(6))
  open(folder.path)
  expect(isIn()).toBe(true)
})

it('a lease that was kept counts without its serial: its signature is right', () => {
  folder.write('members.lease', made(5))
  open(folder.path)
  const kept = readFileSync(folder.at('lease.json'), 'utf8')
  folder.write('lease.json', kept.replace(/"serials":{[^}]*}/, '"serials":{"a":-1,"b":"c"}'))
  for (const text of [made(4), 'half a']) {
    folder.write('members.lease', text)
    open(folder.path)
    expect(isIn()).toBe(true)
  }
  expect(readFileSync(folder.at('lease.json'), 'utf8')).not.toContain('serial 4')
})

it('serves without a folder that can be written to, and says so', () => {
  folder.write('members.lease', made(5))
  open(folder.at('none'))
  expect([isIn(), events()]).toEqual([true, ['lease_not_kept']])
})

it('of two runs, none makes the other forget a serial', () => {
  const [earlier, later] = [new LeaseMemory(folder.path, log), new LeaseMemory(folder.path, log)]
  later.keep('the later lease', new Map([['a', 9]]))
  earlier.keep('the earlier lease', new Map([['a', 8]]))
  expect(later.read()).toEqual({ serials: new Map([['a', 9]]), text: 'the later lease' })
  earlier.keep('of another key', new Map([['b', 1]]))
  expect(later.read()).toEqual({
    serials: new Map([
      ['a', 9],
      ['b', 1],
    ]),
    text: 'of another key',
  })
})

it('a host that starts without a clock goes by the lease that it had', () => {
  folder.write('members.lease', made(5))
  open(folder.path)
  wallMs = 0
  const file = open(folder.path)
  expect(isIn()).toBe(true)
  // The clock is set: two hours have passed.
  wallMs = START_MS + 2 * HOUR_MS
  pass(file, 2)
  expect([isIn(), changes]).toEqual([false, 1])
})

import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AttemptRecord, type FailedAttempts } from '#certificates/attempt-record.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const AUTHORITY = 'https://authority.example/directory'
const RELAY = 'nodekey:aa'
const FAILED: FailedAttempts = {
  failureCount: 3,
  atMs: Date.UTC(2026, 0, 31),
  waitMs: 480_000,
  reason: 'acme_refused',
  text: 'the authority answers "no"',
}

let folder: TemporaryFolder
let path: string

beforeEach(() => {
  folder = new TemporaryFolder()
  path = folder.at('relay.example+attempts')
})

afterEach(() => folder[Symbol.dispose]())

const record = (directory = AUTHORITY, relay = RELAY): AttemptRecord =>
  new AttemptRecord(path, { directory, relay })

test('what has failed is remembered by another process, for that authority and that relay alone, until a success', async () => {
  expect(await record().read()).toBeUndefined()
  await record().write(FAILED)
  expect(await record().read()).toEqual(FAILED)
  expect(await record('https://other.example/').read()).toBeUndefined()
  expect(await record(AUTHORITY, 'nodekey:bb').read()).toBeUndefined()
  await record().clear()
  expect(existsSync(path)).toBe(false)
  expect(await record().read()).toBeUndefined()
})

test('what is written can be read, however many failures and however long the text', async () => {
  const many = { ...FAILED, failureCount: 1e9, waitMs: 1e12, text: 'x'.repeat(100_000) }
  await record().write(many)
  const read = await record().read()
  expect(read).toMatchObject({ failureCount: 1_000, waitMs: 86_400_000, text: 'x'.repeat(1_000) })
})

const good = {
  version: 1,
  directory: AUTHORITY,
  relay: RELAY,
  failureCount: 3,
  at: '2026-01-31T00:00:00.000Z',
  waitMs: 480_000,
  reason: 'acme_refused',
  text: '',
}

test.each([
  ['another version', JSON.stringify({ ...good, version: 2 })],
  ['a wait of years', JSON.stringify({ ...good, waitMs: 1e12 })],
  ['a wait that is no number', JSON.stringify({ ...good, waitMs: '1' })],
  ['no count', JSON.stringify({ ...good, failureCount: -1 })],
  ['no time', JSON.stringify({ ...good, at: 'soon' })],
  ['an unknown reason', JSON.stringify({ ...good, reason: 'weather' })],
  ['half a record', JSON.stringify(good).slice(0, 60)],
  ['nothing', ''],
  ['null', 'null'],
  ['a large file', JSON.stringify({ ...good, text: 'x'.repeat(10_000) })],
])('%s is as good as none', async (_, text) => {
  writeFileSync(path, JSON.stringify(good))
  expect(await record().read()).toBeDefined()
  writeFileSync(path, text)
  expect(await record().read()).toBeUndefined()
})

test('a folder that takes no record is no failure', async () => {
  chmodSync(folder.path, 0o500)
  const nowhere = new AttemptRecord('/proc/self/relay.example+attempts', {
    directory: AUTHORITY,
    relay: RELAY,
  })
  await nowhere.write(FAILED)
  await nowhere.clear()
  expect(await nowhere.read()).toBeUndefined()
  chmodSync(folder.path, 0o700)
})

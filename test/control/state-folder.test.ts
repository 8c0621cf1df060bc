import { chmodSync, chownSync, lchownSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { claimStateFolder } from '#control/state-folder.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { alice, bob } from '../support/actor.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) process.stderr.write('SKIPPING tests of folders that belong to other users: they need root\n')
const NOBODY = 65_534

test('creates the folder for its user alone, and records whose it is', () => {
  using folder = new TemporaryFolder()
  const path = folder.at('a/b')
  expect(claimStateFolder(path, alice.key)).toEqual({ path })
  expect(statSync(path).mode & 0o777).toBe(0o700)
  expect(JSON.parse(readFileSync(join(path, 'relay.json'), 'utf8'))).toEqual({
    format: 1,
    key: publicKeyText(alice.key),
  })
})

test('another run of the relay shares the folder; another relay is refused', () => {
  using folder = new TemporaryFolder()
  const path = folder.at('state')
  claimStateFolder(path, alice.key)
  expect(claimStateFolder(path, alice.key)).toEqual({ path })
  expect(() => claimStateFolder(path, bob.key)).toThrow(
    `${path} belongs to the relay with the key ${publicKeyText(alice.key)}`,
  )
})

test('a later version may have added to the record', () => {
  using folder = new TemporaryFolder()
  const record = JSON.stringify({ format: 1, key: publicKeyText(alice.key), run: 3, more: { x: [] } })
  folder.write('relay.json', record)
  expect(claimStateFolder(folder.path, alice.key)).toEqual({ path: folder.path })
  expect(() => claimStateFolder(folder.path, bob.key)).toThrow('belongs to the relay')
  expect(readFileSync(folder.at('relay.json'), 'utf8')).toBe(record)
})

test('a folder of a later format is refused, whatever else is in the record, and stays as it is', () => {
  using folder = new TemporaryFolder()
  for (const record of [
    { format: 2, key: publicKeyText(alice.key) },
    { format: 7, owner: 'elsewhere' },
  ]) {
    folder.write('relay.json', JSON.stringify(record))
    expect(() => claimStateFolder(folder.path, alice.key)).toThrow(
      `-state-dir ${folder.path}: relay.json has format ${record.format}, expected 1: a later version has written it`,
    )
    expect(JSON.parse(readFileSync(folder.at('relay.json'), 'utf8'))).toEqual(record)
  }
})

test.each([
  ['empty', ''],
  ['no JSON', 'nodekey:'],
  ['no key', '{"format":1}'],
  ['long', ' '.repeat(100_000)],
])('with a record that is %s the folder is not used, and the record stays', (_, text) => {
  using folder = new TemporaryFolder()
  folder.write('relay.json', text)
  expect(claimStateFolder(folder.path, alice.key)).toMatchObject({
    unusable: expect.stringContaining('relay.json names no relay'),
  })
  expect(readFileSync(folder.at('relay.json'), 'utf8')).toBe(text)
})

test('a record that is a link or a folder is not followed', () => {
  using folder = new TemporaryFolder()
  symlinkSync(folder.write('elsewhere', ''), folder.at('relay.json'))
  expect(claimStateFolder(folder.path, alice.key)).toHaveProperty('unusable')
  expect(readFileSync(folder.at('elsewhere'), 'utf8')).toBe('')
  mkdirSync(folder.at('state/relay.json'), { recursive: true })
  expect(claimStateFolder(folder.at('state'), alice.key)).toHaveProperty(
    'unusable',
    'relay.json is not a file',
  )
})

test('a folder that cannot be a folder is not used', () => {
  using folder = new TemporaryFolder()
  const file = folder.write('file', '')
  expect(claimStateFolder(file, alice.key)).toHaveProperty('unusable')
  expect(claimStateFolder(join(file, 'state'), alice.key)).toHaveProperty('unusable')
  symlinkSync(folder.at('nowhere'), folder.at('dangling'))
  expect(claimStateFolder(folder.at('dangling'), alice.key)).toHaveProperty('unusable')
})

test('a folder that every user may write to is not used', () => {
  using folder = new TemporaryFolder()
  chmodSync(folder.path, 0o777)
  expect(claimStateFolder(folder.path, alice.key)).toHaveProperty(
    'unusable',
    'may be written to by every user; name a folder inside it, which the relay creates',
  )
  expect(claimStateFolder(folder.at('inside'), alice.key)).toEqual({ path: folder.at('inside') })
})

test.runIf(isRoot)('neither a folder nor a link of another user is used', () => {
  using folder = new TemporaryFolder()
  const of = folder.at('of-nobody')
  mkdirSync(of)
  chownSync(of, NOBODY, NOBODY)
  expect(claimStateFolder(of, alice.key)).toHaveProperty('unusable', `belongs to the user ${NOBODY}`)
  mkdirSync(folder.at('own'))
  symlinkSync(folder.at('own'), folder.at('link'))
  lchownSync(folder.at('link'), NOBODY, NOBODY)
  expect(claimStateFolder(folder.at('link'), alice.key)).toHaveProperty(
    'unusable',
    `is a link of the user ${NOBODY}`,
  )
})

test('systemd links a folder of a service', () => {
  using folder = new TemporaryFolder()
  mkdirSync(folder.at('private'), { mode: 0o755 })
  symlinkSync(folder.at('private'), folder.at('state'))
  expect(claimStateFolder(folder.at('state'), alice.key)).toEqual({ path: folder.at('state') })
})

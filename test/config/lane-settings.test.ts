import { chmodSync } from 'node:fs'
import { expect, test } from 'vitest'
import { formatWireguardKey } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { clientA, clientB } from '../vectors/keys.ts'
import { ConfigFixture, KEY_PAIR } from './config-fixture.ts'

const ROSTER = `${publicKeyText(clientA.publicKey)} alice\n${publicKeyText(clientB.publicKey)} bob alice\n`

function args(fixture: ConfigFixture, ...more: readonly string[]): string[] {
  return ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', ...more]
}

test('there is no lane without -lane, and its files alone have no effect', () => {
  using fixture = new ConfigFixture()
  expect(fixture.settings(args(fixture)).lane).toBeUndefined()
  const roster = ['-lane-roster', fixture.folder.write('roster', ROSTER)]
  const { lane, warnings } = fixture.settings(args(fixture, ...roster))
  expect(lane).toBeUndefined()
  expect(warnings.join('\n')).toContain('-lane-roster: has no effect without -lane')
})

test('a lane has a key and a roster, or the relay does not start', () => {
  using fixture = new ConfigFixture()
  const problems = fixture.problems(args(fixture, '-lane', ':51820'))
  expect(problems.map((problem) => problem.replace(/;.*/, ''))).toEqual([
    '-lane-key-file: is not set',
    '-lane-roster: is not set',
  ])
  const empty = ['-lane', ':51820', '-lane-key-file', fixture.folder.at('lane.key')]
  const roster = fixture.folder.write('roster', '# nobody\n')
  expect(fixture.problems(args(fixture, ...empty, '-lane-roster', roster)).join('\n')).toContain(
    'has no peer',
  )
  const missing = fixture.problems(args(fixture, ...empty, '-lane-roster', fixture.folder.at('none')))
  expect(missing.join('\n')).toContain('none does not exist')
})

test('reads both, warns of readers of the key, and plans a key that does not exist', () => {
  using fixture = new ConfigFixture()
  const roster = ['-lane', '127.0.0.1:51820', '-lane-roster', fixture.folder.write('roster', ROSTER)]
  const path = fixture.folder.write('lane.key', formatWireguardKey(KEY_PAIR))
  chmodSync(path, 0o644)
  const { lane, warnings } = fixture.settings(args(fixture, ...roster, '-lane-key-file', path))
  expect(lane).toMatchObject({ endpoint: { host: '127.0.0.1', port: 51_820 }, key: KEY_PAIR })
  expect(lane?.roster.map(({ name, links }) => [name, links])).toEqual([
    ['alice', [1]],
    ['bob', [0]],
  ])
  expect(warnings.join('\n')).toContain('this secret is readable by every user')
  const plan = fixture.plan(args(fixture, ...roster, '-lane-key-file', fixture.folder.at('new.key')))
  expect(plan.newFiles).toMatchObject([{ path: fixture.folder.at('new.key'), mode: 0o600 }])
  expect(plan.newFiles[0]?.text).toMatch(/^[A-Za-z0-9+/]{43}=\n$/)
})

test('a file that is no key is named, without what it has', () => {
  using fixture = new ConfigFixture()
  const roster = ['-lane', ':51820', '-lane-roster', fixture.folder.write('roster', ROSTER)]
  const path = fixture.folder.write('lane.key', 'c2VjcmV0\n')
  const problems = fixture.problems(args(fixture, ...roster, '-lane-key-file', path)).join('\n')
  expect(problems).toContain(`${path} does not hold a private key`)
  expect(problems).not.toContain('c2VjcmV0')
})

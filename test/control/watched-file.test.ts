import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { WatchedFile } from '#control/watched-file.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const BYTES_MAX = 1_000
let folder: TemporaryFolder
let path: string
let file: WatchedFile
const reported: string[] = []

beforeEach(() => {
  folder = new TemporaryFolder()
  path = folder.write('file', 'one')
  file = new WatchedFile(path, BYTES_MAX, {
    onText: (text) => reported.push(text),
    onProblem: ({ message }) => reported.push(`problem: ${message}`),
  })
})

afterEach(() => {
  file.stop()
  reported.length = 0
  folder[Symbol.dispose]()
})

it('reports the text at the first look and after each change, in place or by replacement', async () => {
  await file.look()
  await file.look()
  expect(reported).toEqual(['one'])
  writeFileSync(path, 'two')
  await file.look()
  writeFileSync(folder.at('next'), 'three')
  renameSync(folder.at('next'), path)
  await file.look()
  await file.look()
  expect(reported).toEqual(['one', 'two', 'three'])
})

it('reports a file that is being written only when it is complete', async () => {
  await file.look()
  writeFileSync(path, '')
  const looking = file.look()
  // A look takes some hundred milliseconds; the first of its two readings is done by then.
  await new Promise((resolve) => void setTimeout(resolve, 100))
  appendFileSync(path, 'regions:')
  await looking
  expect(reported).toEqual(['one'])
  appendFileSync(path, ' all of them')
  await file.look()
  expect(reported).toEqual(['one', 'regions: all of them'])
})

it('reports a missing file once, and its text when it is back unchanged', async () => {
  await file.look()
  rmSync(path)
  for (let times = 0; times < 3; times++) await file.look()
  expect(reported).toEqual(['one', expect.stringMatching(/^problem: does not exist/)])
  writeFileSync(path, 'one')
  await file.look()
  await file.look()
  expect(reported.slice(2)).toEqual(['one'])
})

it.each([
  ['a folder', (at: string) => mkdirSync(at), /not a file|EISDIR/],
  [
    'a pipe without a writer',
    (at: string) => void execFileSync('bash', ['-c', 'mkfifo "$0"', at]),
    /not a file/,
  ],
  ['an endless device', (at: string) => void execFileSync('ln', ['-s', '/dev/zero', at]), /not a file/],
  [
    'a file that is too large',
    (at: string) => writeFileSync(at, 'x'.repeat(BYTES_MAX + 1)),
    /has 1001 bytes; expected 1000 at most/,
  ],
  [
    'a sparse file that is far too large',
    (at: string) => (writeFileSync(at, ''), truncateSync(at, 2 ** 40)),
    /has 1099511627776 bytes/,
  ],
])('does not read %s', async (_what, make, problem) => {
  await file.look()
  rmSync(path)
  make(path)
  await file.look()
  await file.look()
  expect(reported).toEqual(['one', expect.stringMatching(problem)])
})

it('reads a file of the maximum size', async () => {
  writeFileSync(path, 'x'.repeat(BYTES_MAX))
  await file.look()
  expect(reported).toEqual(['x'.repeat(BYTES_MAX)])
})

it.skipIf(process.getuid?.() === 0)('reports a file without read permission', async () => {
  chmodSync(path, 0)
  await file.look()
  expect(reported).toEqual([expect.stringMatching(/^problem: EACCES/)])
})

it('reports nothing after it was stopped, even for a look in progress', async () => {
  const looking = file.look()
  file.stop()
  await looking
  await file.look()
  expect(reported).toEqual([])
})

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
const heard: string[] = []

beforeEach(() => {
  folder = new TemporaryFolder()
  path = folder.write('file', 'one')
  file = new WatchedFile(path, BYTES_MAX, {
    onText: (text) => heard.push(text),
    onProblem: ({ message }) => heard.push(`problem: ${message}`),
  })
})

afterEach(() => {
  file.stop()
  heard.length = 0
  folder[Symbol.dispose]()
})

it('tells what is in it at the first look, and whenever that has changed, be it in place or by another file', async () => {
  await file.look()
  await file.look()
  expect(heard).toEqual(['one'])
  writeFileSync(path, 'two')
  await file.look()
  writeFileSync(folder.at('next'), 'three')
  renameSync(folder.at('next'), path)
  await file.look()
  await file.look()
  expect(heard).toEqual(['one', 'two', 'three'])
})

it('tells nothing of a file that is being written, and all of it when it is done', async () => {
  await file.look()
  writeFileSync(path, '')
  const looking = file.look()
  // A look lasts some hundred milliseconds, and the first of its two readings is done by then.
  await new Promise((resolve) => void setTimeout(resolve, 100))
  appendFileSync(path, 'regions:')
  await looking
  expect(heard).toEqual(['one'])
  appendFileSync(path, ' all of them')
  await file.look()
  expect(heard).toEqual(['one', 'regions: all of them'])
})

it('complains once of a file that is gone, and tells it when it is back as it was', async () => {
  await file.look()
  rmSync(path)
  for (let times = 0; times < 3; times++) await file.look()
  expect(heard).toEqual(['one', expect.stringMatching(/^problem: ENOENT/)])
  writeFileSync(path, 'one')
  await file.look()
  await file.look()
  expect(heard.slice(2)).toEqual(['one'])
})

it.each([
  ['a folder', (at: string) => mkdirSync(at), /not a file|EISDIR/],
  [
    'a pipe that nobody writes to',
    (at: string) => void execFileSync('bash', ['-c', 'mkfifo "$0"', at]),
    /not a file/,
  ],
  ['a device without an end', (at: string) => void execFileSync('ln', ['-s', '/dev/zero', at]), /not a file/],
  [
    'more than may be there',
    (at: string) => writeFileSync(at, 'x'.repeat(BYTES_MAX + 1)),
    /has 1001 bytes; expected 1000 at most/,
  ],
  [
    'far more, of which nothing is written',
    (at: string) => (writeFileSync(at, ''), truncateSync(at, 2 ** 40)),
    /has 1099511627776 bytes/,
  ],
])('reads nothing where there is %s', async (_what, make, problem) => {
  await file.look()
  rmSync(path)
  make(path)
  await file.look()
  await file.look()
  expect(heard).toEqual(['one', expect.stringMatching(problem)])
})

it('reads as much as may be there', async () => {
  writeFileSync(path, 'x'.repeat(BYTES_MAX))
  await file.look()
  expect(heard).toEqual(['x'.repeat(BYTES_MAX)])
})

it.skipIf(process.getuid?.() === 0)('complains of a file that it may not read', async () => {
  chmodSync(path, 0)
  await file.look()
  expect(heard).toEqual([expect.stringMatching(/^problem: EACCES/)])
})

it('is silent when it has been stopped, also about a look that was under way', async () => {
  const looking = file.look()
  file.stop()
  await looking
  await file.look()
  expect(heard).toEqual([])
})

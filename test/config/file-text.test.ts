import { spawnSync } from 'node:child_process'
import { chmodSync, symlinkSync, truncateSync } from 'node:fs'
import { expect, test } from 'vitest'
import { exists, isFolder, readFileText } from '#config/file-text.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const BYTES_MAX = 4_194_304

test('reads up to 4 MiB', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('text', 'as it is')
  truncateSync(path, BYTES_MAX)
  const read = readFileText(path)
  expect('text' in read && read.text.length).toBe(BYTES_MAX)
  truncateSync(path, BYTES_MAX + 1)
  expect(readFileText(path)).toEqual({ reason: 'has more than 4194304 bytes' })
})

test('stops at the limit in an endless device, and reads a pipe to its end', () => {
  expect(readFileText('/dev/zero')).toEqual({ reason: 'has more than 4194304 bytes' })
  const read = `import('#config/file-text.ts').then(({ readFileText }) => console.log(readFileText('/dev/stdin').text))`
  // More than a pipe holds at once.
  const line = `head -c 200000 /dev/zero | tr '\\0' x | "$0" -e "$1"`
  const { stdout } = spawnSync('sh', ['-c', line, process.execPath, read], { encoding: 'utf8' })
  expect(stdout).toBe(`${'x'.repeat(200_000)}\n`)
})

test('distinguishes a missing file from an unreadable one, and returns the mode', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('text', 'as it is')
  chmodSync(path, 0o640)
  const read = readFileText(path)
  expect('text' in read && [read.text, read.mode & 0o777]).toEqual(['as it is', 0o640])
  expect(readFileText(folder.at('none'))).toEqual({ missing: true })
  expect(readFileText(folder.path)).toEqual({ reason: 'is a folder' })
})

test('a path that cannot be looked at does not exist', () => {
  using folder = new TemporaryFolder()
  symlinkSync(folder.at('loop'), folder.at('loop'))
  expect([exists(folder.at('loop')), isFolder(folder.at('loop'))]).toEqual([false, false])
})

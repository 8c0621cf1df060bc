import { readdirSync, readFileSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createFiles, CreatedFiles, unwritable, type NewFile } from '#config/new-files.ts'
import { problemText } from '#fleet/problem.ts'
import { TemporaryFolder } from './temporary-folder.ts'

function newFile(path: string, rest: Partial<NewFile> = {}): NewFile {
  return { path, text: 'secret', mode: 0o600, folder: 'must exist', existing: 'is kept', ...rest }
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8)
}

test('creates secrets that only their owner can read, and folders where that was planned', () => {
  using folder = new TemporaryFolder()
  const path = folder.at('state/deep/derper.key')
  expect(createFiles([newFile(path, { folder: 'is created' })])).toBeUndefined()
  expect([readFileSync(path, 'utf8'), modeOf(path), modeOf(folder.at('state'))]).toEqual([
    'secret',
    '600',
    '700',
  ])
})

test('never overwrites a file', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('derper.key', 'old')
  const problem = createFiles([newFile(path)])
  expect(problem && problemText(problem)).toBe(`${path}: cannot be written: it already exists`)
  expect(readFileSync(path, 'utf8')).toBe('old')
})

test('replaces a file atomically, and leaves no other file', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('localhost.crt', 'old')
  expect(createFiles([newFile(path, { existing: 'is replaced' })])).toBeUndefined()
  expect(readFileSync(path, 'utf8')).toBe('secret')
  expect(readdirSync(folder.path)).toEqual(['localhost.crt'])
})

test('stops at the first file that cannot be created', () => {
  using folder = new TemporaryFolder()
  const missing = folder.at('none/derper.key')
  const problem = createFiles([newFile(missing), newFile(folder.at('after'))])
  expect(problem && problemText(problem)).toBe(`${missing}: cannot be written: it does not exist`)
  expect(readdirSync(folder.path)).toEqual([])
})

test('undo removes the created files and folders, and nothing else', () => {
  using folder = new TemporaryFolder()
  folder.write('there', 'before')
  const created = new CreatedFiles()
  const files = [
    newFile(folder.at('state/deep/derper.key'), { folder: 'is created' }),
    newFile(folder.at('own.key')),
    newFile(folder.at('there'), { existing: 'is replaced' }),
  ]
  expect(createFiles(files, created)).toBeUndefined()
  created.undo()
  expect(readdirSync(folder.path)).toEqual(['there'])
  expect(readFileSync(folder.at('there'), 'utf8')).toBe('secret')
})

test('undo keeps a folder that contains other files by now', () => {
  using folder = new TemporaryFolder()
  const created = new CreatedFiles()
  createFiles([newFile(folder.at('state/derper.key'), { folder: 'is created' })], created)
  folder.write('state/notes', 'of another')
  created.undo()
  expect(readdirSync(folder.at('state'))).toEqual(['notes'])
})

test('a file that fails removes those before it', () => {
  using folder = new TemporaryFolder()
  const problem = createFiles([newFile(folder.at('first')), newFile(folder.at('none/second'))])
  expect(problem && problemText(problem)).toMatch(/second: cannot be written/)
  expect(readdirSync(folder.path)).toEqual([])
})

test('reports in advance folders in which nothing can be created', () => {
  using folder = new TemporaryFolder()
  const file = folder.write('file', '')
  const good = [newFile(folder.at('new/deep/derper.key')), newFile(folder.at('derper.key'))]
  expect(unwritable(good)).toEqual([])
  expect(unwritable([newFile(`${file}/deep/derper.key`)]).map(problemText)).toEqual([
    `${file}: is not a folder`,
  ])
})

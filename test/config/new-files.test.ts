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

test('makes secrets that their owner alone can read, and folders where that was planned', () => {
  using folder = new TemporaryFolder()
  const path = folder.at('state/deep/derper.key')
  expect(createFiles([newFile(path, { folder: 'is made' })])).toBeUndefined()
  expect([readFileSync(path, 'utf8'), modeOf(path), modeOf(folder.at('state'))]).toEqual([
    'secret',
    '600',
    '700',
  ])
})

test('never writes over a file', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('derper.key', 'old')
  const problem = createFiles([newFile(path)])
  expect(problem && problemText(problem)).toBe(`${path}: cannot be written: it already exists`)
  expect(readFileSync(path, 'utf8')).toBe('old')
})

test('replaces a file whole, and leaves nothing beside it', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('localhost.crt', 'old')
  expect(createFiles([newFile(path, { existing: 'is replaced' })])).toBeUndefined()
  expect(readFileSync(path, 'utf8')).toBe('secret')
  expect(readdirSync(folder.path)).toEqual(['localhost.crt'])
})

test('stops at the first file that cannot be made', () => {
  using folder = new TemporaryFolder()
  const missing = folder.at('none/derper.key')
  const problem = createFiles([newFile(missing), newFile(folder.at('after'))])
  expect(problem && problemText(problem)).toBe(`${missing}: cannot be written: it does not exist`)
  expect(readdirSync(folder.path)).toEqual([])
})

test('what a start has made can be taken back: its files and folders, and nothing else', () => {
  using folder = new TemporaryFolder()
  folder.write('there', 'before')
  const made = new CreatedFiles()
  const files = [
    newFile(folder.at('state/deep/derper.key'), { folder: 'is made' }),
    newFile(folder.at('own.key')),
    newFile(folder.at('there'), { existing: 'is replaced' }),
  ]
  expect(createFiles(files, made)).toBeUndefined()
  made.undo()
  expect(readdirSync(folder.path)).toEqual(['there'])
  expect(readFileSync(folder.at('there'), 'utf8')).toBe('secret')
})

test('a folder that somebody else uses meanwhile stays', () => {
  using folder = new TemporaryFolder()
  const made = new CreatedFiles()
  createFiles([newFile(folder.at('state/derper.key'), { folder: 'is made' })], made)
  folder.write('state/notes', 'of another')
  made.undo()
  expect(readdirSync(folder.at('state'))).toEqual(['notes'])
})

test('one that fails takes back those before', () => {
  using folder = new TemporaryFolder()
  const problem = createFiles([newFile(folder.at('first')), newFile(folder.at('none/second'))])
  expect(problem && problemText(problem)).toMatch(/second: cannot be written/)
  expect(readdirSync(folder.path)).toEqual([])
})

test('knows beforehand where nothing can be made', () => {
  using folder = new TemporaryFolder()
  const file = folder.write('file', '')
  const good = [newFile(folder.at('new/deep/derper.key')), newFile(folder.at('derper.key'))]
  expect(unwritable(good)).toEqual([])
  expect(unwritable([newFile(`${file}/deep/derper.key`)]).map(problemText)).toEqual([
    `${file}: is not a folder`,
  ])
})

// Files that a first start makes: a key, a certificate. Planned while resolving and written only when nothing is
// wrong, so that a refused start leaves nothing behind. Never written over another file unless that was planned.

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { reasonOf, type Problem } from './problem.ts'

export interface NewFile {
  readonly path: string
  readonly text: string
  /** 0600 for secrets. */
  readonly mode: number
  /** Whether a missing folder is made (0700) or a mistake in the path. */
  readonly folder: 'is made' | 'must exist'
  /** Whether an existing file is replaced: only one that was read and found expired. */
  readonly existing: 'is kept' | 'is replaced'
}

/** Writes the files in order, up to the first that fails. */
export function createFiles(files: readonly NewFile[]): Problem | undefined {
  for (const file of files) {
    try {
      if (file.folder === 'is made') mkdirSync(dirname(file.path), { recursive: true, mode: 0o700 })
      createFile(file)
    } catch (error) {
      return { where: file.path, found: `could not be written: it ${reasonOf(error)}`, expected: '' }
    }
  }
  return undefined
}

/** A replaced file changes at once or not at all; a new one is made exclusively. */
function createFile(file: NewFile): void {
  if (file.existing === 'is kept') {
    writeWhole(file.path, file)
    return
  }
  const next = `${file.path}.${process.pid}.new`
  writeWhole(next, file)
  renameSync(next, file.path)
}

function writeWhole(path: string, { text, mode }: NewFile): void {
  const descriptor = openSync(path, 'wx', mode)
  try {
    writeFileSync(descriptor, text)
    fsyncSync(descriptor)
  } catch (error) {
    // Half a key file would be an unreadable one at the next start.
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}

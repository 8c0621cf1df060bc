// Files that a first start makes: a key, a certificate. Planned while resolving and written only when nothing is
// wrong, so that a refused start leaves nothing behind. Never written over another file unless that was planned.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { isFolder } from './file-text.ts'
import { reasonOf, type Problem } from '#fleet/problem.ts'

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

/** What a start has made, to be taken back when the start fails. */
export class CreatedFiles {
  readonly #undos: (() => void)[] = []

  add(undo: () => void): void {
    this.#undos.push(undo)
  }

  /** Removes files and folders that were not there before; never a folder that somebody else has put something into. */
  undo(): void {
    for (const undo of this.#undos.splice(0).reverse()) undo()
  }
}

/** Writes the files in order. One that fails takes back those before. */
export function createFiles(
  files: readonly NewFile[],
  made: CreatedFiles = new CreatedFiles(),
): Problem | undefined {
  for (const file of files) {
    try {
      if (file.folder === 'is made') makeFolder(dirname(file.path), made)
      createFile(file)
    } catch (error) {
      made.undo()
      return { where: file.path, found: `cannot be written: it ${reasonOf(error)}`, expected: '' }
    }
    // What was replaced had expired: the new one is as good as any.
    if (file.existing === 'is kept') made.add(() => rmSync(file.path, { force: true }))
  }
  return undefined
}

function makeFolder(path: string, made: CreatedFiles): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  made.add(() => {
    // From the innermost outwards, as far as they are empty.
    for (let at = path; at.length >= first.length; at = dirname(at)) {
      try {
        rmdirSync(at)
      } catch {
        return
      }
    }
  })
}

/** What `createFiles` would fail at for want of a right. */
export function unwritable(files: readonly NewFile[]): readonly Problem[] {
  const folders = new Set(files.map(({ path }) => existingFolder(dirname(path))))
  return [...folders].flatMap((folder) => {
    if (!isFolder(folder)) return [{ where: folder, found: 'is not a folder', expected: '' }]
    try {
      accessSync(folder, constants.W_OK | constants.X_OK)
      return []
    } catch (error) {
      return [{ where: folder, found: `is not writable: it ${reasonOf(error)}`, expected: '' }]
    }
  })
}

/** The folder, or the nearest around it that is there. */
function existingFolder(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : existingFolder(dirname(folder))
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

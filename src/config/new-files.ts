// Creates the files of a first start: a key, a certificate. They are planned while the settings are resolved, and
// written only if there is no problem, so that a refused start leaves nothing behind. A file is overwritten only if
// that was planned.

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
import { reasonOf, type Problem } from '#fleet/problem.ts'
import { isFolder } from './file-text.ts'

export interface NewFile {
  readonly path: string
  readonly text: string
  /** 0600 for secrets. */
  readonly mode: number
  /** Whether a missing folder is created (0700), or is a mistake in the path. */
  readonly folder: 'is created' | 'must exist'
  /** Whether an existing file is replaced: only one that was read and has expired. */
  readonly existing: 'is kept' | 'is replaced'
}

/** What a start has created, to be removed if the start fails. */
export class CreatedFiles {
  readonly #undos: (() => void)[] = []

  add(undo: () => void): void {
    this.#undos.push(undo)
  }

  /** Removes the created files and folders, except folders that contain other files by now. */
  undo(): void {
    for (const undo of this.#undos.splice(0).reverse()) undo()
  }
}

/** Writes the files in order. If one fails, those before it are removed. */
export function createFiles(
  files: readonly NewFile[],
  created: CreatedFiles = new CreatedFiles(),
): Problem | undefined {
  for (const file of files) {
    try {
      if (file.folder === 'is created') createFolder(dirname(file.path), created)
      createFile(file)
    } catch (error) {
      created.undo()
      return { where: file.path, found: `cannot be written: it ${reasonOf(error)}`, expected: '' }
    }
    // A replaced file had expired, so the new one stays.
    if (file.existing === 'is kept') created.add(() => rmSync(file.path, { force: true }))
  }
  return undefined
}

function createFolder(path: string, created: CreatedFiles): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  created.add(() => {
    // From the innermost folder outwards, as far as they are empty.
    for (let at = path; at.length >= first.length; at = dirname(at)) {
      try {
        rmdirSync(at)
      } catch {
        return
      }
    }
  })
}

/** The problems of missing permissions that `createFiles` would have. */
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

/** The folder, or its nearest parent that exists. */
function existingFolder(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : existingFolder(dirname(folder))
}

/** Replaces a file atomically; creates a new one exclusively. */
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
    // The next start could not read half a key file.
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}

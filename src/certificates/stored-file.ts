// Small text files in a folder that relays may share: read whole and bounded, replaced in one step. After a crash or on a full
// disk there is the old file or the new one, never a part, and nobody else can read a secret at any moment.

import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { readChangingFile, whyUnread } from '#config/file-text.ts'
import { reasonOf } from '#fleet/problem.ts'

/** A chain with its key has less than 32 KiB. */
const BYTES_MAX = 1_048_576
/** So that who finds room for it finds room for a chain with its key. */
const PROBE_BYTES = 32_768
const PROBE = 'derpfleet+probe'

/** A file cannot be read or written; the message is a sentence with its path. */
export class StoreError extends Error {}

/** Undefined if there is no such file. @throws StoreError */
export async function readStored(path: string, bytesMax = BYTES_MAX): Promise<string | undefined> {
  const file = await readChangingFile(path, bytesMax)
  if ('text' in file) return file.text
  if ('missing' in file) return undefined
  throw new StoreError(`${path} ${whyUnread(file)}`)
}

/** Creates the folder, if need be, for its owner alone. @throws StoreError; then the old file is unchanged */
export async function writeStored(path: string, text: string, mode = 0o600): Promise<void> {
  const next = temporaryPath(path)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeNew(next, text, mode)
    await rename(next, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(next, { force: true }).catch(() => undefined)
    throw new StoreError(`${path} cannot be written: it ${reasonOf(error)}`, { cause: error })
  }
}

/** Proves that the folder takes a file of a certificate's size, by writing one. @throws StoreError with the folder and the error's code */
export async function proveWritable(folder: string): Promise<void> {
  const path = join(folder, PROBE)
  try {
    await writeStored(path, '\n'.repeat(PROBE_BYTES))
    await removeStored(path)
  } catch (error) {
    const cause = error instanceof StoreError ? error.cause : error
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException
    throw new StoreError(`${folder} takes no files: it ${reasonOf(cause)} (${code})`, { cause })
  }
}

/** @throws Error */
export async function removeStored(path: string): Promise<void> {
  await rm(path, { force: true })
}

/** A hidden name in the same folder that nobody else uses. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`)
}

/** Writes a file that must not exist, to the disk. */
export async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes the new name survive a crash. Some file systems cannot do that; then the file itself is safe all the same. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, constants.O_RDONLY)
    await folder.sync().finally(async () => await folder.close())
  } catch {
    // Nothing is lost without a crash in this very moment.
  }
}

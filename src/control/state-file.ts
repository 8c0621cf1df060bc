// Reads and replaces files of the state folder. What is there may be anything: other programs can write there, too.
//
// Contract: a file is complete or it is not there. Of two runs of one relay, each writes a file of its own before it replaces.

import { closeSync, constants, fstatSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'

/** The text, or its first bytes; empty if it is no file. Does not follow a link. @throws if it cannot be opened or read */
export function readStateFile(path: string, bytesMax: number): string {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const status = fstatSync(descriptor)
    if (!status.isFile()) return ''
    const bytes = Buffer.alloc(Math.min(status.size, bytesMax))
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(descriptor)
  }
}

/** Readable by the relay's user alone. Rejects if the folder takes no file. */
export async function replaceStateFile(path: string, text: string): Promise<void> {
  const complete = unfinishedPath(path)
  await writeFile(complete, text, { mode: 0o600 })
  await rename(complete, path)
}

/** The same, before it returns. @throws if the folder takes no file */
export function replaceStateFileNow(path: string, text: string): void {
  const complete = unfinishedPath(path)
  writeFileSync(complete, text, { mode: 0o600 })
  renameSync(complete, path)
}

function unfinishedPath(path: string): string {
  return `${path}.${process.pid}`
}

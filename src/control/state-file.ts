// Reads a file of the state folder. It may be anything: other programs can write there, too.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

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

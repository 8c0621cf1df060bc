// Reads the text of a file that an option names. Bounded: a path to a device or to a log must not fill the memory.

import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { reasonOf } from '#fleet/problem.ts'

export type FileText =
  | { readonly text: string; readonly mode: number }
  | { readonly missing: true }
  /** Why it cannot be read; completes "PATH …". */
  | { readonly reason: string }

/** The size of the largest fleet's file. Bundles of authorities have a quarter of a megabyte. */
const FILE_BYTES_MAX = 4_194_304

/** Reads the whole file. A missing file is a result of its own, because the start creates some files. */
export function readFileText(path: string): FileText {
  try {
    return readBounded(path)
  } catch (error) {
    return unreadFile(error)
  }
}

/**
 * Reads a file that may change while the relay serves, without stopping the thread. Reads regular files only, since opening
 * a pipe or reading a device may block.
 */
export async function readChangingFile(path: string, bytesMax: number): Promise<FileText> {
  try {
    // Opening a file makes a network file system ask its server whether the file has changed.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const status = await file.stat()
      if (!status.isFile()) return { reason: 'is not a file' }
      if (status.size > bytesMax) return { reason: `has ${status.size} bytes; expected ${bytesMax} at most` }
      const { buffer, bytesRead } = await file.read(Buffer.alloc(status.size), 0, status.size, 0)
      return { text: buffer.toString('utf8', 0, bytesRead), mode: status.mode }
    } finally {
      await file.close()
    }
  } catch (error) {
    return unreadFile(error)
  }
}

function unreadFile(error: unknown): FileText {
  const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
  return isMissing ? { missing: true } : { reason: reasonOf(error) }
}

/** Reads a pipe to its end, such as a shell's `<(…)`. */
function readBounded(path: string): FileText {
  const descriptor = openSync(path, 'r')
  try {
    const { mode } = fstatSync(descriptor)
    const bytes = Buffer.allocUnsafe(FILE_BYTES_MAX + 1)
    let length = 0
    for (;;) {
      const count = readSync(descriptor, bytes, length, bytes.length - length, null)
      length += count
      if (length > FILE_BYTES_MAX) return { reason: `has more than ${FILE_BYTES_MAX} bytes` }
      if (count === 0) return { text: bytes.toString('utf8', 0, length), mode }
    }
  } finally {
    closeSync(descriptor)
  }
}

/** The reason for a message about a required file; completes "PATH …". */
export function whyUnread(file: { readonly missing: true } | { readonly reason: string }): string {
  return 'missing' in file ? 'does not exist' : file.reason
}

export function isFolder(path: string): boolean {
  return statusOf(path)?.isDirectory() ?? false
}

export function exists(path: string): boolean {
  return statusOf(path) !== undefined
}

/** Undefined for what is not there, and for what this user may not look for. */
function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

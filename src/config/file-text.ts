// The text of a file that an option names, or why there is none. Bounded: a path that leads to a device or to a log
// must not fill the memory.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { reasonOf } from '#fleet/problem.ts'

export type FileText =
  | { readonly text: string; readonly mode: number }
  | { readonly missing: true }
  /** Completes "PATH …". */
  | { readonly reason: string }

/** As large as the largest map; bundles of authorities have a quarter of a megabyte. */
const FILE_BYTES_MAX = 4_194_304

/** Reads all of it; missing is told apart, because some files are made then. */
export function readFileText(path: string): FileText {
  try {
    return readBounded(path)
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    return isMissing ? { missing: true } : { reason: reasonOf(error) }
  }
}

/** A pipe is read to its end, as a shell's `<(…)` makes one. */
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

/** What to say about a file that has to be there. */
export function whyUnread(file: { readonly missing: true } | { readonly reason: string }): string {
  return 'missing' in file ? 'does not exist' : file.reason
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

export function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

// The text of a file that an option names, or why there is none.

import { readFileSync, statSync } from 'node:fs'
import { reasonOf } from './problem.ts'

export type FileText =
  | { readonly text: string; readonly mode: number }
  | { readonly missing: true }
  /** Completes "PATH …". */
  | { readonly reason: string }

/** Reads all of it; missing is told apart, because some files are made then. */
export function readFileText(path: string): FileText {
  try {
    return { text: readFileSync(path, 'utf8'), mode: statSync(path).mode }
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    return isMissing ? { missing: true } : { reason: reasonOf(error) }
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

// What is wrong with the operator's words: where they stand, what was found, what was expected. Collected rather
// than thrown, so that one start tells all of them.

import { withoutSecrets } from './secret-mask.ts'

/** One complaint. */
export interface Problem {
  /** A flag, an environment variable, a file with its line: where the operator has to look. */
  readonly where: string
  /** What is there, the value included unless it is a secret. */
  readonly found: string
  /** What belongs there; empty where `found` says it all. */
  readonly expected: string
}

/** The complaint as one line. */
export function problemText({ where, found, expected }: Problem): string {
  const text = withoutSecrets(`${where}: ${found}`)
  return expected === '' ? text : `${text}; expected ${expected}`
}

/** The reason of a failed file operation, without Node's wrapping of path and call. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? (error instanceof Error ? error.message : String(error))
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'is not accessible to this user',
  EPERM: 'is not accessible to this user',
  EISDIR: 'is a folder',
  ENOTDIR: 'has a file instead of a folder in its path',
  EROFS: 'is on a read-only file system',
  ENOSPC: 'is on a full file system',
  EEXIST: 'already exists',
}

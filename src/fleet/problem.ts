// A problem with what the operator wrote: where it is, what was found there, what was expected. Problems are
// collected rather than thrown, so that one start reports all of them. In fleet/ rather than config/, because fleet/
// reports problems, too, and config/ imports fleet/, never the other way round.

import { withoutSecrets } from './secret-mask.ts'

export interface Problem {
  /** A flag, an environment variable, or a file with its line. */
  readonly where: string
  /** What is wrong, with the value unless it is a secret. */
  readonly found: string
  /** What is valid there; empty if `found` says enough. */
  readonly expected: string
}

/** The problem on one line. */
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
  EDQUOT: "would exceed this user's disk quota",
  EEXIST: 'already exists',
  ELOOP: 'is a symbolic link that leads to itself',
}

// The token with which verbs can be called over the admin port: reads its file, for the relay and for the commands that
// call verbs. Its text is in no message.

import type { Diagnostics } from './diagnostics.ts'
import { readFileText, whyUnread } from './file-text.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import { warnIfShared } from './secret-mode.ts'

const TOKEN_EXPECTED = 'a file with one line of 32 to 256 printable characters without spaces'

/** 32 characters from a random source have 128 bits or more, even as hex digits. */
const TOKEN = /^[\x21-\x7e]{32,256}$/

/** The relay's own; undefined if it takes no verbs over the admin port. */
export function resolveVerbsToken(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): string | undefined {
  return readVerbsToken(values.get('verbs-token-file'), values.where('verbs-token-file'), diagnostics)
}

/**
 * The token of a file; undefined without a file, or after a problem.
 *
 * @param where the option that names the file, for messages
 */
export function readVerbsToken(
  path: string | undefined,
  where: string,
  diagnostics: Diagnostics,
): string | undefined {
  if (path === undefined) return undefined
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem(where, `${path} ${whyUnread(file)}`, TOKEN_EXPECTED)
  const token = file.text.trim()
  if (!TOKEN.test(token)) {
    return diagnostics.addProblem(where, `${path} contains no such token`, TOKEN_EXPECTED)
  }
  warnIfShared(path, file.mode, diagnostics)
  return token
}

// The program's version, as its package states it.

import { readFileSync } from 'node:fs'

/** `0.1.0`; the package's file is two folders up from here, in the sources and in what is published. */
export function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const isNamed = typeof content === 'object' && content !== null && 'version' in content
  return isNamed ? String(content.version) : 'unknown'
}

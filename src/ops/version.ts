// The program's version, from its package.json.

import { readFileSync } from 'node:fs'

/** For example `0.1.0`. package.json is two folders above this file, in the sources and in the published package. */
export function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const isNamed = typeof content === 'object' && content !== null && 'version' in content
  return isNamed ? String(content.version) : 'unknown'
}

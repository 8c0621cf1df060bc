// The blocks of commands in the documents. A block that no test can run has a comment above it with the reason.

import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const PROJECT = fileURLToPath(new URL('../../', import.meta.url))

export interface Block {
  readonly language: string
  readonly code: string
  /** Why the block is not run; undefined if it is. */
  readonly reason: string | undefined
}

/** All blocks of a document. */
export function blocksOf(path: string): readonly Block[] {
  const text = readFileSync(`${PROJECT}${path}`, 'utf8')
  return [...text.matchAll(/(?:<!-- not run: ([^>]+) -->\n\n)?^```(\w*)\n([^]*?)^```$/gm)].map(
    ([, reason, language = '', code = '']) => ({ language, code, reason }),
  )
}

/** Commands alone, or commands after `$ ` with what they print. */
export function isCommands({ language }: Block): boolean {
  return language === 'sh' || language === 'console'
}

/** The commands of a block as a script. */
export function scriptOf({ language, code }: Block): string {
  if (language === 'sh') return code
  return [...code.matchAll(/^\$ (.*)$/gm)].map(([, command = '']) => `${command}\n`).join('')
}

/** README and the pages below docs. */
export const PAGES = [
  'README.md',
  ...readdirSync(`${PROJECT}docs`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
    .toSorted(),
]

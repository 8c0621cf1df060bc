// Text from elsewhere as it may stand in a terminal: without control characters, by which a relay or a file of somebody else
// could move the cursor, set the title or hide what is printed. Line ends stay. Whole texts are not cut here.

import { printableLines } from '#fleet/printable-text.ts'

/** Deeper than any answer; what is deeper is left out, so that no answer can exhaust the stack. */
const DEPTH_MAX = 16

export function terminalText(text: string): string {
  return printableLines(text)
}

/** A value from JSON with all its texts so; the names of its fields as well, which some tables print. */
export function terminalValue<T>(value: T): T {
  return cleaned(value, 0) as T
}

function cleaned(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return terminalText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === DEPTH_MAX) return undefined
  if (Array.isArray(value)) return value.map((inner) => cleaned(inner, depth + 1))
  const entries = Object.entries(value)
  return Object.fromEntries(entries.map(([name, inner]) => [terminalText(name), cleaned(inner, depth + 1)]))
}

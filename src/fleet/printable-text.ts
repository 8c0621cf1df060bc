// Which characters of a text from elsewhere may stand in a line of a log, a table or a terminal. The one place that says so.
// Pure.

/** Controls, halves of characters, marks of direction, what is not assigned, and line ends that only some terminals know. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u
const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu')
const UNPRINTABLES = new RegExp(`${UNPRINTABLE.source}+`, 'gu')

export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text)
}

/** One line, cut. Part of it may come from a server that is not ours. */
export function printableText(text: string, { charsMax }: { readonly charsMax: number }): string {
  // The cut may leave half a character.
  return text.replaceAll(UNPRINTABLES, ' ').slice(0, charsMax).toWellFormed()
}

/** The text with a space for each unprintable character but line ends, and not cut. */
export function printableLines(text: string): string {
  return text.replaceAll(EACH_UNPRINTABLE, (character) => (character === '\n' ? character : ' '))
}

// Suggests a known word for a mistyped one.

/**
 * The known word with the fewest edits from `given`; undefined if all need more than two edits, or one in a short
 * word.
 */
export function nearestWord(given: string, known: Iterable<string>): string | undefined {
  const editsMax = given.length <= 4 ? 1 : 2
  let best: string | undefined
  let bestEdits = editsMax + 1
  for (const word of known) {
    const edits = editDistance(given.toLowerCase(), word.toLowerCase())
    if (edits < bestEdits) [best, bestEdits] = [word, edits]
  }
  return best
}

/** `; did you mean X?` or nothing: the end of a message about an unknown word. */
export function didYouMean(word: string | undefined): string {
  return word === undefined ? '' : `; did you mean ${word}?`
}

/** Insertions, deletions, replacements and swaps of adjacent letters between two words (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? at(i - 2, j - 2) + 1 : Infinity
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped))
    }
  }
  return at(a.length, b.length)
}

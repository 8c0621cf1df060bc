// A table in Markdown: words to the left, numbers to the right.

/** A table whose first `wordColumns` columns hold words. */
export function markdownTable(
  headings: readonly string[],
  wordColumns: number,
  rows: readonly (readonly string[])[],
): string {
  const rule = headings.map((_, column) => (column < wordColumns ? '---' : '---:'))
  return [headings, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

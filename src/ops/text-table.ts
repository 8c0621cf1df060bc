// A table as text: columns of one width each, two spaces apart. Knows nothing of what is in it. No I/O.

type Row = readonly string[]

/**
 * The cells of all rows, each as wide as its column.
 * @param isRight whether the column with that number is aligned to the right
 */
export function paddedCells(rows: readonly Row[], isRight = (_at: number): boolean => false): string[][] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [at, text] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, text.length)
  }
  return rows.map((row) =>
    row.map((text, at) => {
      const width = widths[at] ?? 0
      return isRight(at) ? text.padStart(width) : text.padEnd(width)
    }),
  )
}

/** One line of padded cells. */
export function lineOf(cells: Row): string {
  return cells.join('  ').trimEnd()
}

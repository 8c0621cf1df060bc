// A list of names cut to what a log line has room for. Runs on the control thread.

const NAMES_MAX = 20

export function shortList(names: readonly string[]): readonly string[] {
  if (names.length <= NAMES_MAX) return names
  return [...names.slice(0, NAMES_MAX), `and ${names.length - NAMES_MAX} more`]
}

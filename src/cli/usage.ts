// The usage pages of commands: their options and exit codes.

import { displayName, type Option, type OptionTable } from '#config/option.ts'

/** The last line of each usage page; all commands use the same codes. */
export const EXIT_CODES = `exit code: 0 success, 1 failure, 2 invalid command line\n`

/** A table of options for a usage page. */
export function optionLines(table: OptionTable): string {
  const rows = Object.entries<Option>(table).filter(([, option]) => option.only !== 'env')
  return rows
    .map(([key, option]) => {
      const notes = valueNotes(option)
      const end = notes.length === 0 ? '' : ` (${notes.join('; ')})`
      const name = displayName(key, option) + valueText(option)
      return `  ${name}\n      ${option.about.replaceAll('**', '')}${end}\n`
    })
    .join('')
}

/** The value after the flag. A switch that is on by default shows how to turn it off. */
function valueText({ kind, fallback }: Option): string {
  if (kind.isBoolean === true) return fallback === 'false' ? '' : '[=true|false]'
  return ` ${kind.placeholder ?? 'VALUE'}`
}

/** The allowed values, unless the placeholder already shows them, and the default. */
function valueNotes({ kind, fallback, fallbackNote }: Option): string[] {
  const standard = fallback ?? fallbackNote
  const isSwitch = kind.isBoolean === true && fallback === 'false'
  const isShown = kind.isBoolean === true || SELF_EXPLAINING.test(kind.placeholder ?? '')
  return [
    ...(isShown ? [] : [kind.expected]),
    ...(standard === undefined || isSwitch ? [] : [`default: ${standard}`]),
  ]
}

/** A path, a URL, or a choice of words. */
const SELF_EXPLAINING = /^(FILE|FOLDER|URL)$|^[^A-Z]+$/

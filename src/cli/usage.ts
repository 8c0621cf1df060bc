// The usage pages of commands: their options and exit codes.

import { displayName, type Option, type OptionTable } from '#config/option.ts'

/** The last line of each usage page; all commands use the same codes. */
export const EXIT_CODES = `exit code: 0 success, 1 failure, 2 invalid command line\n`

/** A table of options for a usage page. */
export function optionLines(table: OptionTable): string {
  const rows = Object.entries<Option>(table).filter(([, option]) => option.only !== 'env')
  return rows
    .map(([word, option]) => {
      const notes = valueNotes(option)
      const end = notes.length === 0 ? '' : ` (${notes.join('; ')})`
      const name = displayName(word, option) + valueText(option)
      return `  ${name}\n      ${option.about.replaceAll('**', '')}${end}\n`
    })
    .join('')
}

/** The value behind the flag. A switch that is on by default shows how to turn it off. */
function valueText({ kind, fallback }: Option): string {
  if (kind.isBoolean === true) return fallback === 'false' ? '' : '[=true|false]'
  return ` ${kind.placeholder ?? 'VALUE'}`
}

/** The allowed values, unless the placeholder says all about them, and the default. */
function valueNotes({ kind, fallback, fallbackNote }: Option): string[] {
  const usual = fallback ?? fallbackNote
  const isSwitch = kind.isBoolean === true && fallback === 'false'
  const isSaid = kind.isBoolean === true || SELF_EXPLAINING.test(kind.placeholder ?? '')
  return [
    ...(isSaid ? [] : [kind.expected]),
    ...(usual === undefined || isSwitch ? [] : [`default: ${usual}`]),
  ]
}

/** A choice of words, a path, or an address. */
const SELF_EXPLAINING = /^(FILE|FOLDER|URL|IPV4|IPV6)$|^[^A-Z]+$/

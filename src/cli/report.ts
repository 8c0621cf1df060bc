// How commands tell a person what is wrong, and what their options are.

import { displayName, type Option, type OptionTable } from '#config/option.ts'
import { problemText, type Problem } from '#fleet/problem.ts'
import type { TextSink } from './command.ts'

/** How every command ends; the last lines of each usage page. */
export const EXIT_CODES = `exit code: 0 done, 1 failed, 2 the command line was not understood\n`

/** All complaints, one a line. */
export function reportProblems(sink: TextSink, subject: string, problems: readonly Problem[]): void {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `  ${problemText(problem)}`)
  sink.write(`${subject}, ${count}:\n${lines.join('\n')}\n`)
}

export function reportWarnings(sink: TextSink, warnings: readonly string[]): void {
  for (const warning of warnings) sink.write(`warning: ${warning}\n`)
}

/** A table of options for a usage page. */
export function optionLines(table: OptionTable): string {
  const rows = Object.entries<Option>(table).filter(([, option]) => option.only !== 'env')
  return rows
    .map(([word, option]) => {
      const value = option.kind.isBoolean ? '' : ` ${option.kind.placeholder ?? 'VALUE'}`
      const notes = valueNotes(option)
      const end = notes.length === 0 ? '' : ` (${notes.join('; ')})`
      return `  ${displayName(word, option)}${value}\n      ${option.about.replaceAll('**', '')}${end}\n`
    })
    .join('')
}

/** What may be given, unless the placeholder says all of it, and what counts when nothing is. */
function valueNotes({ kind, fallback, fallbackNote }: Option): string[] {
  const usual = fallback ?? fallbackNote
  const isSwitch = kind.isBoolean === true && fallback === 'false'
  return [
    ...(kind.isBoolean === true || kind.placeholder?.includes('|') ? [] : [kind.expected]),
    ...(usual === undefined || isSwitch ? [] : [`default: ${usual}`]),
  ]
}

// How commands tell a person what is wrong, and what their options are.

import { displayName, type Option, type OptionTable } from '#config/option.ts'
import { problemText, type Problem } from '#config/problem.ts'
import type { TextSink } from './command.ts'

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
      const fallback = option.fallback ?? option.fallbackNote
      const isSwitch = option.kind.isBoolean === true && option.fallback === 'false'
      const value = option.kind.isBoolean ? '' : ' VALUE'
      const end = fallback === undefined || isSwitch ? '' : ` (default: ${fallback})`
      return `  ${displayName(word, option)}${value}\n      ${option.about.replaceAll('**', '')}${end}\n`
    })
    .join('')
}

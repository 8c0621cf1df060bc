// How commands print problems and warnings for people.

import { problemText, type Problem } from '#fleet/problem.ts'
import type { TextSink } from './command.ts'
import { terminalText } from './terminal-text.ts'

/** All problems, one a line. */
export function reportProblems(sink: TextSink, subject: string, problems: readonly Problem[]): void {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `  ${terminalText(problemText(problem))}`)
  sink.write(`${subject}, ${count}:\n${lines.join('\n')}\n`)
}

export function reportWarnings(sink: TextSink, warnings: readonly string[]): void {
  for (const warning of warnings) sink.write(`warning: ${terminalText(warning)}\n`)
}

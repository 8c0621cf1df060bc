// What a command does with its command line once it is read: runs it, prints its help, or reports the problems.

import type { Problem } from '#fleet/problem.ts'
import { ExitCode, type Io } from './command.ts'
import { reportProblems } from './report.ts'

export type CommandLine<Asked extends object> = Asked | 'help' | { readonly problems: readonly Problem[] }

interface CommandTexts {
  readonly usage: () => string
  /** The command, and what it has not done because of the problems. */
  readonly refusal: string
}

export async function runCommandLine<Asked extends object>(
  read: CommandLine<Asked>,
  io: Io,
  { usage, refusal }: CommandTexts,
  run: (asked: Asked, io: Io) => Promise<number>,
): Promise<number> {
  if (read === 'help') {
    io.stdout.write(usage())
    return ExitCode.done
  }
  if ('problems' in read) {
    reportProblems(io.stderr, refusal, read.problems)
    return ExitCode.misused
  }
  return await run(read, io)
}

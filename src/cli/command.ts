// What a command of the program is: a name, a line for the usage page, and a function from arguments to an exit code.
// A command writes to the streams that it is given. It never ends the process; only main.ts does.

import type { Environment } from '#config/environment.ts'
import type { RelaySignals } from '#control/relay-signals.ts'

/** The part of a stream that commands use. */
export interface TextSink {
  write(text: string): unknown
}

/** The process as a command sees it. */
export interface Io {
  /** Results, which programs may parse. */
  readonly stdout: TextSink
  /** Messages for people: problems, warnings, notes. */
  readonly stderr: TextSink
  readonly env: Environment
  /** For `serve`, which handles signals from the start of the process. Undefined: signals have their default effects. */
  readonly signals: RelaySignals | undefined
  /** Ends the process at once, for a relay that cannot be stopped in order. */
  endAtOnce(): never
  /** Sets the format of messages about the process itself. */
  setProcessMessages?(messages: ProcessMessages): void
}

/** How a bug in this program and a warning of Node are reported. */
export interface ProcessMessages {
  /** A line with its newline. The process ends after it is written. */
  faultLine(error: unknown): string
  warn(warning: Error): void
}

export interface Command {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** `args` are the arguments after the command's name. Resolves to an {@link ExitCode}. */
  run(args: readonly string[], io: Io): Promise<number>
}

/** `COMMAND help` means `COMMAND -help`. */
export function helpAsFlag(args: readonly string[]): readonly string[] {
  return args[0] === 'help' ? ['-help', ...args.slice(1)] : args
}

/** The exit codes of all commands. */
export const ExitCode = {
  done: 0,
  failed: 1,
  /** The command line is invalid; nothing was done. */
  misused: 2,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

// What every command of the program is: a name, a line for the usage page, and a function from arguments to an
// exit code. A command writes to the streams it is given and never ends the process: main.ts alone does.

import type { Environment } from '#config/environment.ts'
import type { RelaySignals } from '#control/relay-signals.ts'

/** The part of a stream that commands use. */
export interface TextSink {
  write(text: string): unknown
}

/** The process as a command sees it. */
export interface Io {
  /** Results: what a caller may parse. */
  readonly stdout: TextSink
  /** Everything said to a person: complaints, notes. */
  readonly stderr: TextSink
  readonly env: Environment
  /** Listened to since the process began, for `serve`; other commands leave signals their default effects. */
  readonly signals: RelaySignals | undefined
  /** Ends the process without waiting for anything, where it can't end in order. */
  endAtOnce(): never
  /** Has what befalls the process itself told in this way from now on. */
  speakAs?(voice: ProcessVoice): void
}

/** How a fault of ours, or a warning of Node's, is told. */
export interface ProcessVoice {
  /** A whole line, newline included; the process ends when it is written. */
  faultLine(error: unknown): string
  warning(warning: Error): void
}

export interface Command {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** `args` are what follows the command's name. Resolves to an {@link ExitCode}. */
  run(args: readonly string[], io: Io): Promise<number>
}

/** `COMMAND help` is `COMMAND -help`. */
export function helpAsFlag(args: readonly string[]): readonly string[] {
  return args[0] === 'help' ? ['-help', ...args.slice(1)] : args
}

/** How commands end. */
export const ExitCode = {
  done: 0,
  failed: 1,
  /** The command line could not be understood; nothing was tried. */
  misused: 2,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

// The program as a process: streams, signals, uncaught errors and the exit code. The only place that ends the process.
// Runs on the control thread.

import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { ExitCode, type ProcessMessages } from '#cli/command.ts'
import { runCommand } from '#cli/commands.ts'
import { RelaySignals } from '#control/relay-signals.ts'

const STDERR_FD = 2
const SIGNAL_MS_MAX = 1_000

/** Called before anything else is loaded: until then signals have their default effects, and most end the process. */
function listenToSignals(): RelaySignals {
  const wasOnTerminal = isatty(STDERR_FD)
  return new RelaySignals(process, {
    endNow: endBy,
    isTerminalGone: () => wasOnTerminal && !isatty(STDERR_FD),
    now: () => performance.now(),
  })
}

/** Ends the process at once. Node's own exit waits for worker threads, and one of them may hang. */
function endAtOnce(): never {
  return endBy('SIGKILL')
}

/** Ends the process by the signal itself, so that the parent process sees which signal ended it. */
function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // The signal may take a moment. Process 1 of a container ignores signals from itself, but not an abort.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0, SIGNAL_MS_MAX)
  process.abort()
}

/** A bug in this program: reports it and ends the process. Writes synchronously, because nothing runs afterwards. */
function onFault(error: unknown): never {
  try {
    writeSync(STDERR_FD, faultLine(error))
  } catch {
    // Standard error is closed; there is nowhere to report to.
  }
  endAtOnce()
}

function setProcessMessages(messages: ProcessMessages): void {
  faultLine = (error) => messages.faultLine(error)
  // Node's own listener prints warnings in its own format.
  process.removeAllListeners('warning').on('warning', (warning) => messages.warn(warning))
}

let faultLine = (error: unknown): string =>
  `derpfleet: internal error: ${error instanceof Error ? error.stack : String(error)}\n`
const args = process.argv.slice(2)
const signals = args[0] === 'serve' ? listenToSignals() : undefined
process.on('uncaughtException', onFault)
// The reader of the output may stop early, as in `derpfleet map | head`. That is not a failure, and a relay keeps
// running.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (args[0] === 'serve') return
  if (code !== 'EPIPE') process.stderr.write(`derpfleet: cannot write the output: ${message}\n`)
  process.exit(code === 'EPIPE' ? ExitCode.done : ExitCode.failed)
})
process.stderr.on('error', () => undefined)

const { stdout, stderr, env } = process
const code = await runCommand(args, { stdout, stderr, env, signals, endAtOnce, setProcessMessages })
// A command is done when its result is written. A relay ends without waiting for the reader of its output.
if (args[0] !== 'serve') await new Promise((resolve) => stdout.write('', resolve))
process.exit(code)

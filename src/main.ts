// The program as a process: its streams, its signals, its faults and its end. The only place that ends the process.

import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { ExitCode, type ProcessVoice } from '#cli/command.ts'
import { runCommand } from '#cli/commands.ts'
import { RelaySignals } from '#control/relay-signals.ts'

const STDERR_FD = 2
const SIGNAL_MS_MAX = 1_000

/** Before anything is loaded: until then a signal has its default effect, which is the end for most. */
function listenToSignals(): RelaySignals {
  const wasOnTerminal = isatty(STDERR_FD)
  return new RelaySignals(process, {
    endNow: endBy,
    isTerminalGone: () => wasOnTerminal && !isatty(STDERR_FD),
    now: () => performance.now(),
  })
}

/** Ends without waiting for anything. Node's own exit waits for worker threads, of which one may hang. */
function endAtOnce(): never {
  return endBy('SIGKILL')
}

/** By the signal itself, so that whoever started the process sees what ended it. */
function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // It may take a moment; process 1 of a container ignores its own signals, but not this.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0, SIGNAL_MS_MAX)
  process.abort()
}

/** A fault of ours: said, and ended by it. Written at once, since nothing else will be. */
function onFault(error: unknown): never {
  try {
    writeSync(STDERR_FD, faultLine(error))
  } catch {
    // Nobody can be told.
  }
  endAtOnce()
}

function speakAs(voice: ProcessVoice): void {
  faultLine = (error) => voice.faultLine(error)
  // Node's own listener prints lines of its own form.
  process.removeAllListeners('warning').on('warning', (warning) => voice.warning(warning))
}

let faultLine = (error: unknown): string =>
  `derpfleet: a fault in the program: ${error instanceof Error ? error.stack : String(error)}\n`
const args = process.argv.slice(2)
const signals = args[0] === 'serve' ? listenToSignals() : undefined
process.on('uncaughtException', onFault)
// Whoever reads the output may stop early (`derpfleet map | head`); that is no failure, and no reason for a relay to
// stop serving.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (args[0] === 'serve') return
  if (code !== 'EPIPE') process.stderr.write(`derpfleet: the output could not be written: ${message}\n`)
  process.exit(code === 'EPIPE' ? ExitCode.done : ExitCode.failed)
})
process.stderr.on('error', () => undefined)

const { stdout, stderr, env } = process
const code = await runCommand(args, { stdout, stderr, env, signals, endAtOnce, speakAs })
// A result counts when it has been written; a relay ends without waiting for whoever reads its output.
if (args[0] !== 'serve') await new Promise((resolve) => stdout.write('', resolve))
process.exit(code)

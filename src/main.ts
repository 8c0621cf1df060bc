// The program as a process: its streams, its signals, its faults and its end. The only place that ends the process.

import { writeSync } from 'node:fs'
import { ExitCode } from '#cli/command.ts'
import { runCommand } from '#cli/commands.ts'
import { firstStopSignal } from '#cli/stop-signal.ts'

function untilStopped(): Promise<NodeJS.Signals> {
  return firstStopSignal(process, endAtOnce)
}

/**
 * Ends without waiting for anything. Node's own exit waits for worker threads to end, which they can't while their
 * HTTP servers are open: it would hang or abort.
 */
function endAtOnce(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}

/** A fault of ours: said, and ended by it. Written at once, since nothing else will be. */
function onFault(error: unknown): never {
  try {
    writeSync(
      STDERR_FD,
      `derpfleet: a fault in the program: ${error instanceof Error ? error.stack : String(error)}\n`,
    )
  } catch {
    // Nobody can be told.
  }
  endAtOnce()
}

const STDERR_FD = 2
const args = process.argv.slice(2)
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
const code = await runCommand(args, { stdout, stderr, env, untilStopped })
// A result counts when it has been written; a relay ends without waiting for whoever reads its output.
if (args[0] !== 'serve') await new Promise((resolve) => stdout.write('', resolve))
process.exit(code)

// The program: finds the command and runs it. The only place that ends the process.

import { writeSync } from 'node:fs'
import { ExitCode, type Command, type Io } from '#cli/command.ts'
import { firstStopSignal } from '#cli/stop-signal.ts'
import { packageVersion } from '#version.ts'

/** Loaded when asked for, so that making a key does not load a relay. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./cli/serve.ts')).serve,
  config: async () => (await import('./cli/config.ts')).config,
  keygen: async () => (await import('./cli/keygen.ts')).keygen,
  map: async () => (await import('./cli/map.ts')).map,
  probe: async () => (await import('./cli/probe.ts')).probe,
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || ['help', '-h', '-help', '--help'].includes(name)) {
    process.stdout.write(await usage())
    return ExitCode.done
  }
  if (['version', '-version', '--version'].includes(name)) {
    process.stdout.write(`${packageVersion()}\n`)
    return ExitCode.done
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load === undefined) {
    process.stderr.write(`derpfleet: there is no command ${JSON.stringify(name)}\n\n${await usage()}`)
    return ExitCode.misused
  }
  const io: Io = { stdout: process.stdout, stderr: process.stderr, env: process.env, untilStopped }
  return (await load()).run(args, io)
}

async function usage(): Promise<string> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}\n`)
  const more = 'derpfleet COMMAND -help tells the rest.'
  return `derpfleet ${packageVersion()}: a relay that speaks DERP\n\nusage: derpfleet COMMAND [ARGUMENT]...\n\n${lines.join('')}\n${more}\n`
}

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

const code = await main(args)
// A result counts when it has been written; a relay ends without waiting for whoever reads its output.
if (args[0] !== 'serve') await new Promise((resolve) => process.stdout.write('', resolve))
process.exit(code)

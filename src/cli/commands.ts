// The list of commands: finds the command that a command line names, and runs it.

import { didYouMean, nearestWord } from '#config/nearest-word.ts'
import { ExitCode, helpAsFlag, type Command, type Io } from './command.ts'
import { EXIT_CODES } from './usage.ts'
import { packageVersion } from '#ops/version.ts'

/** Each is loaded on demand, so that `keygen` does not load a relay. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serve,
  healthcheck: async () => (await import('./healthcheck.ts')).healthcheck,
  status: async () => (await import('./status.ts')).status,
  top: async () => (await import('./top.ts')).top,
  clients: async () => (await import('./clients.ts')).clients,
  tenants: async () => (await import('./tenants.ts')).tenants,
  reload: async () => (await import('./reload.ts')).reload,
  drain: async () => (await import('./drain.ts')).drain,
  kick: async () => (await import('./kick.ts')).kick,
  deny: async () => (await import('./deny.ts')).deny,
  allow: async () => (await import('./deny.ts')).allow,
  lane: async () => (await import('./lane.ts')).lane,
  config: async () => (await import('./config.ts')).config,
  keygen: async () => (await import('./keygen.ts')).keygen,
  lease: async () => (await import('./lease.ts')).lease,
  map: async () => (await import('./map.ts')).map,
  render: async () => (await import('./render.ts')).render,
  bridge: async () => (await import('./bridge.ts')).bridge,
  probe: async () => (await import('./probe.ts')).probe,
  doctor: async () => (await import('./doctor.ts')).doctor,
  nearest: async () => (await import('./nearest.ts')).nearest,
  'bench-here': async () => (await import('./bench-here.ts')).benchHere,
  advise: async () => (await import('./advise.ts')).advise,
}

const HELP_NAMES: ReadonlySet<string> = new Set(['help', '-h', '--h', '-help', '--help'])
const VERSION_NAMES: ReadonlySet<string> = new Set(['version', '-version', '--version'])

/** Resolves to the process's exit code. */
export async function runCommand([name, ...args]: readonly string[], io: Io): Promise<number> {
  // `help COMMAND` means `COMMAND -help`.
  if (name === 'help' && args[0] !== undefined) return runCommand([args[0], '-help'], io)
  if (name === undefined || HELP_NAMES.has(name)) {
    io.stdout.write(await usage())
    return ExitCode.done
  }
  if (VERSION_NAMES.has(name)) {
    io.stdout.write(`${packageVersion()}\n`)
    return ExitCode.done
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load === undefined) {
    const hint = didYouMean(nearestWord(name, Object.keys(COMMANDS)))
    io.stderr.write(`derpfleet: unknown command ${JSON.stringify(name)}${hint}\n`)
    io.stderr.write('Run "derpfleet -help" for a list of commands.\n')
    return ExitCode.misused
  }
  return (await load()).run(helpAsFlag(args), io)
}

async function usage(): Promise<string> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
  const width = Math.max(...commands.map(({ name }) => name.length))
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)} ${summary}\n`)
  return `derpfleet ${packageVersion()}: a DERP relay server

usage: derpfleet COMMAND [ARGUMENT]...

${lines.join('')}
Run "derpfleet COMMAND -help" for the options of a command.
${EXIT_CODES}`
}

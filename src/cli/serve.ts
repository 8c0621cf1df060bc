// `derpfleet serve`: runs one relay until it is told to stop. Everything that can be wrong is said before anything
// listens; what starts, starts whole.

import { resolveSettings } from '#config/resolve.ts'
import { thisHost } from '#config/host.ts'
import { createFiles } from '#config/new-file.ts'
import { OPTION_GROUPS } from '#config/options.ts'
import { readSettings, type RawSettings } from '#config/read.ts'
import type { Settings } from '#config/settings.ts'
import { endpointText } from '#config/listeners.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { RelayAddresses, RunningRelay } from '#assemble.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { isQuickStart, quickStartPresets, quickStartText } from './quick-start.ts'
import { optionLines, reportProblems, reportWarnings } from './report.ts'
import { packageVersion } from '#version.ts'

export const serve: Command = {
  name: 'serve',
  summary: "Run a relay; takes derper's flags",
  async run(args, io) {
    const raw = readServeSettings(args, io)
    if (raw.values.get('help')) {
      io.stdout.write(serveUsage())
      return ExitCode.done
    }
    if (raw.values.get('version')) {
      io.stdout.write(`${packageVersion()}\n`)
      return ExitCode.done
    }
    return raw.values.get('check') ? check(raw, io) : start(raw, io)
  },
}

/** What `serve` would run with, from its arguments; the quick start's presets included where it is asked for. */
export function readServeSettings(args: readonly string[], io: Io): RawSettings {
  const raw = readSettings(args, io.env)
  if (!raw.values.get('quick-start')) return raw
  return readSettings(args, io.env, quickStartPresets(raw.values.get('state-dir')))
}

/** Says what is wrong with settings, or that nothing is; touches nothing. */
export async function check(raw: RawSettings, io: Io): Promise<number> {
  const resolution = resolveSettings(raw, thisHost(io.env))
  if ('problems' in resolution) {
    reportProblems(io.stderr, 'derpfleet: the settings are not good', resolution.problems)
    return ExitCode.failed
  }
  reportWarnings(io.stderr, resolution.settings.warnings)
  for (const { path } of resolution.newFiles) io.stderr.write(`note: ${path} will be made at the start\n`)
  io.stdout.write('the settings are good\n')
  return ExitCode.done
}

async function start(raw: RawSettings, io: Io): Promise<number> {
  // First of all: as process 1 of a container, this is what gives SIGTERM an effect.
  const stopped = io.untilStopped()
  const resolution = resolveSettings(raw, thisHost(io.env))
  if ('problems' in resolution) {
    reportProblems(io.stderr, 'derpfleet: not started', resolution.problems)
    return ExitCode.failed
  }
  const { settings, newFiles } = resolution
  const unwritten = createFiles(newFiles)
  if (unwritten !== undefined) {
    reportProblems(io.stderr, 'derpfleet: not started', [unwritten])
    return ExitCode.failed
  }
  for (const { path } of newFiles) io.stderr.write(`note: made ${path}\n`)
  reportWarnings(io.stderr, settings.warnings)
  let relay: RunningRelay
  try {
    // Loaded late: commands and complaints do not wait for what only a running relay needs.
    const { startRelay } = await import('#assemble.ts')
    relay = await startRelay(settings)
  } catch (error) {
    io.stderr.write(`derpfleet: not started: ${messageOf(error)}\n`)
    return ExitCode.failed
  }
  io.stdout.write(servingText(settings, relay.addresses))
  if (isQuickStart(raw)) io.stdout.write(quickStartText(settings, relay.addresses))
  return untilEnd(relay, stopped, io)
}

/** Waits for a signal or for the relay's own end, and takes it down. */
async function untilEnd(relay: RunningRelay, stopped: Promise<NodeJS.Signals>, io: Io): Promise<number> {
  const end = await Promise.race([stopped, relay.failed])
  const isFailure = end instanceof Error
  if (isFailure) io.stderr.write(`derpfleet: the relay failed: ${messageOf(end)}\n`)
  await relay.stop()
  if (!isFailure) io.stdout.write(`stopped by ${end}\n`)
  return isFailure ? ExitCode.failed : ExitCode.done
}

/** One line for each listener. */
function servingText(settings: Settings, addresses: RelayAddresses): string {
  const { derp, http, stun, admin } = addresses
  const tls = settings.certificate === undefined ? 'plain TCP' : `TLS for ${settings.hostname}`
  const lines = [
    `derpfleet ${packageVersion()} serves as ${publicKeyText(settings.nodeKey.publicKey)}`,
    `  DERP   ${endpointText(derp)}, ${tls}${settings.isDerpEnabled ? '' : ', relaying switched off'}`,
    ...(http === undefined ? [] : [`  HTTP   ${endpointText(http)}`]),
    ...(stun === undefined ? [] : [`  STUN   ${endpointText(stun)}/udp`]),
    ...(admin === undefined ? [] : [`  admin  http://${endpointText(admin)}/`]),
  ]
  return `${lines.join('\n')}\n`
}

function serveUsage(): string {
  const groups = Object.entries(OPTION_GROUPS).map(([title, table]) => `\n${title}:\n${optionLines(table)}`)
  return `usage: derpfleet serve [-FLAG VALUE | -FLAG=VALUE | -BOOLEAN | -BOOLEAN=false]...\n${groups.join('')}`
}

/** The message with its causes, each once. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : messageOf(error.cause)
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`
}

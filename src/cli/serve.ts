// `derpfleet serve`: runs one relay until a signal stops it or it fails. All problems of the configuration are reported
// before anything listens. The relay itself is control/start-relay.ts.

import { hostInfo } from '#config/host-info.ts'
import { createFiles, CreatedFiles } from '#config/new-files.ts'
import { OPTION_GROUPS } from '#config/options.ts'
import type { RawSettings } from '#config/read-settings.ts'
import { resolveSettings } from '#config/resolve-settings.ts'
import type { RunningRelay } from '#control/running-relay.ts'
import type { StartOptions } from '#control/start-relay.ts'
import { packageVersion } from '#ops/version.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { checkConfiguration, exitCodeOf, problemsOfStart, readServeSettings } from './config-check.ts'
import type { ServeReport } from './serve-report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

/** Of a command that no signal reaches. */
const NEVER = new Promise<never>(() => undefined)

export const serve: Command = {
  name: 'serve',
  summary: "Run a relay; accepts derper's flags",
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
    return raw.values.get('check') ? checkConfiguration(raw, io) : start(raw, args, io)
  },
}

async function start(raw: RawSettings, args: readonly string[], io: Io): Promise<number> {
  // Modules that only a running relay needs are loaded here, so that other commands start faster.
  const { openReport } = await import('./serve-report.ts')
  const { takeSystemdEnvironment } = await import('#control/systemd-environment.ts')
  const report = openReport(raw, io)
  const systemd = takeSystemdEnvironment(io.env, process.pid)
  const reading = { raw, read: () => readServeSettings(args, io), host: () => hostInfo(io.env) }
  const code = await startAndServe(report, { systemd, reading }, io)
  report.log.flush()
  return code
}

async function startAndServe(report: ServeReport, more: Required<StartOptions>, io: Io): Promise<number> {
  const { raw, host } = more.reading
  const resolution = resolveSettings(raw, host())
  if ('problems' in resolution) {
    report.invalidConfiguration(resolution.problems)
    return exitCodeOf(raw)
  }
  const { settings, newFiles } = resolution
  const problems = await problemsOfStart(settings, newFiles)
  const made = new CreatedFiles()
  const unwritten = problems.length > 0 ? undefined : createFiles(newFiles, made)
  if (problems.length > 0 || unwritten !== undefined) {
    report.invalidConfiguration(unwritten === undefined ? problems : [unwritten])
    return ExitCode.failed
  }
  report.warnings(settings.warnings)
  let relay: RunningRelay
  try {
    const { startRelay } = await import('#control/start-relay.ts')
    relay = await startRelay(settings, report.log, more)
  } catch (error) {
    made.undo()
    report.startFailed(error)
    return ExitCode.failed
  }
  for (const { path } of newFiles) report.fileCreated(path)
  report.started(settings, relay.addresses)
  return untilEnd(relay, report, io)
}

/** Waits until a signal asks the relay to stop or it fails, and stops it. */
async function untilEnd(relay: RunningRelay, report: ServeReport, io: Io): Promise<number> {
  const { signals } = io
  signals?.listen({ reload: () => void relay.reload(), toggleDebug: () => relay.toggleDebug() })
  const stopped = signals?.stopped ?? NEVER
  let end = await Promise.race([stopped, relay.failed, relay.drainAsked])
  if (end === 'SIGTERM' || end === 'drain') end = await drained(relay, end, stopped)
  if (end instanceof Error) report.relayFailed(end)
  try {
    await relay.stop()
  } catch (error) {
    report.stopFailed(error)
    // A part that still runs would keep the process from exiting.
    return io.endAtOnce()
  }
  if (end instanceof Error) return ExitCode.failed
  report.stopped(end)
  return ExitCode.done
}

/**
 * Drains the relay. Returns why it ends now: it is drained, it has failed, or a signal asks for the end of a drain that
 * was not asked for by a signal.
 */
async function drained(
  relay: RunningRelay,
  asked: 'SIGTERM' | 'drain',
  stopped: Promise<NodeJS.Signals>,
): Promise<NodeJS.Signals | 'drain' | Error> {
  const isOver = relay.drain().then(() => asked)
  const isStopped =
    asked === 'drain' ? stopped.then(async (signal) => (signal === 'SIGTERM' ? isOver : signal)) : NEVER
  return await Promise.race([isOver, isStopped, relay.failed])
}

function serveUsage(): string {
  const groups = Object.entries(OPTION_GROUPS).map(([title, table]) => `\n${title}:\n${optionLines(table)}`)
  return `usage: derpfleet serve [-FLAG VALUE | -FLAG=VALUE | -BOOLEAN | -BOOLEAN=false]...\n${groups.join('')}\n${EXIT_CODES}`
}

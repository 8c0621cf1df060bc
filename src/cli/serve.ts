// `derpfleet serve`: runs one relay until it is told to stop. Everything that can be wrong is said before anything
// listens; what starts, starts whole.

import { resolveSettings } from '#config/resolve-settings.ts'
import { hostInfo } from '#config/host-info.ts'
import { createFiles, CreatedFiles, unwritable, type NewFile } from '#config/new-files.ts'
import { OPTION_GROUPS } from '#config/options.ts'
import type { Problem } from '#fleet/problem.ts'
import { readSettings, type RawSettings } from '#config/read-settings.ts'
import type { Settings } from '#config/settings.ts'
import type { RunningRelay } from '#control/start-relay.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { quickStartPresets } from './quick-start.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'
import type { StartReport } from './serve-report.ts'
import { packageVersion } from '#ops/version.ts'

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
  const resolution = resolveSettings(raw, hostInfo(io.env))
  if ('problems' in resolution) {
    reportProblems(io.stderr, 'derpfleet: invalid configuration', resolution.problems)
    return refusal(raw)
  }
  const { settings, newFiles } = resolution
  const problems = [...(await wouldFail(settings, newFiles)), ...unwritable(newFiles)]
  if (problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet: invalid configuration', problems)
    return ExitCode.failed
  }
  reportWarnings(io.stderr, settings.warnings)
  for (const { path } of newFiles) io.stderr.write(`note: ${path} will be made at the start\n`)
  io.stdout.write('the configuration is valid\n')
  return ExitCode.done
}

async function wouldFail(settings: Settings, newFiles: readonly NewFile[]): Promise<readonly Problem[]> {
  const { startProblems } = await import('#control/start-check.ts')
  return startProblems(settings, new Set(newFiles.map(({ path }) => path)))
}

/** A command line that cannot be read is another mistake than settings that do not fit each other or this host. */
function refusal(raw: RawSettings): number {
  return raw.isMisused ? ExitCode.misused : ExitCode.failed
}

async function start(raw: RawSettings, io: Io): Promise<number> {
  // Loaded late, as all that only a running relay needs.
  const { openReport } = await import('./serve-report.ts')
  const report = openReport(raw, io)
  const code = await startAndServe(raw, report, io)
  report.log.flush()
  return code
}

async function startAndServe(raw: RawSettings, report: StartReport, io: Io): Promise<number> {
  const resolution = resolveSettings(raw, hostInfo(io.env))
  if ('problems' in resolution) {
    report.refused(resolution.problems)
    return refusal(raw)
  }
  const { settings, newFiles } = resolution
  const problems = await wouldFail(settings, newFiles)
  const made = new CreatedFiles()
  const unwritten = problems.length > 0 ? undefined : createFiles(newFiles, made)
  if (problems.length > 0 || unwritten !== undefined) {
    report.refused(unwritten === undefined ? problems : [unwritten])
    return ExitCode.failed
  }
  report.warn(settings.warnings)
  let relay: RunningRelay
  try {
    const { startRelay } = await import('#control/start-relay.ts')
    relay = await startRelay(settings, report.log)
  } catch (error) {
    made.undo()
    report.notStarted(error)
    return ExitCode.failed
  }
  for (const { path } of newFiles) report.made(path)
  report.serving(settings, relay.addresses)
  return untilEnd(relay, report, io)
}

/** Waits for a signal or for the relay's own end, and takes it down. */
async function untilEnd(relay: RunningRelay, report: StartReport, io: Io): Promise<number> {
  const { signals } = io
  if (signals !== undefined) {
    signals.listener = { reload: () => void relay.reload(), toggleDebug: () => relay.toggleDebug() }
  }
  const end = await Promise.race([...(signals === undefined ? [] : [signals.stopped]), relay.failed])
  if (end instanceof Error) report.failed(end)
  try {
    await relay.stop()
  } catch (error) {
    report.notEnded(error)
    // What still runs would keep the process from ending as it should.
    return io.endAtOnce()
  }
  if (end instanceof Error) return ExitCode.failed
  report.stopped(end)
  return ExitCode.done
}

function serveUsage(): string {
  const groups = Object.entries(OPTION_GROUPS).map(([title, table]) => `\n${title}:\n${optionLines(table)}`)
  return `usage: derpfleet serve [-FLAG VALUE | -FLAG=VALUE | -BOOLEAN | -BOOLEAN=false]...\n${groups.join('')}\n${EXIT_CODES}`
}

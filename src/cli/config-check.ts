// Reads the configuration of `serve` and validates it without starting a relay: `serve -check` and `config check`.

import { hostInfo } from '#config/host-info.ts'
import { unwritable, type NewFile } from '#config/new-files.ts'
import { withQuickStartPresets } from '#config/quick-start-presets.ts'
import { readSettings, type RawSettings } from '#config/read-settings.ts'
import { resolveSettings } from '#config/resolve-settings.ts'
import type { Settings } from '#config/settings.ts'
import type { Problem } from '#fleet/problem.ts'
import { ExitCode, type Io } from './command.ts'
import { reportProblems, reportWarnings } from './report.ts'

/** The settings that arguments, environment and file give to `serve`, with the quick start's presets if it is chosen. */
export function readServeSettings(args: readonly string[], io: Io): RawSettings {
  return withQuickStartPresets((presets) => readSettings(args, io.env, presets))
}

/** Prints the problems of the configuration, or that it is valid. Creates no files. */
export async function checkConfiguration(raw: RawSettings, io: Io): Promise<number> {
  const resolution = resolveSettings(raw, hostInfo(io.env))
  if ('problems' in resolution) {
    reportProblems(io.stderr, 'derpfleet: invalid configuration', resolution.problems)
    return exitCodeOf(raw)
  }
  const { settings, newFiles } = resolution
  const problems = [...(await problemsOfStart(settings, newFiles)), ...unwritable(newFiles)]
  if (problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet: invalid configuration', problems)
    return ExitCode.failed
  }
  reportWarnings(io.stderr, settings.warnings)
  for (const { path } of newFiles) io.stderr.write(`note: ${path} will be created at the start\n`)
  io.stdout.write('the configuration is valid\n')
  return ExitCode.done
}

/** The problems that would make a start fail. */
export async function problemsOfStart(
  settings: Settings,
  newFiles: readonly NewFile[],
): Promise<readonly Problem[]> {
  const { startProblems } = await import('#control/start-check.ts')
  return startProblems(settings, new Set(newFiles.map(({ path }) => path)))
}

/** The exit code for invalid settings. An invalid command line has a code of its own. */
export function exitCodeOf(raw: RawSettings): ExitCode {
  return raw.isMisused ? ExitCode.misused : ExitCode.failed
}

// The first step to the settings: reads the options from the command line, the environment, one YAML file and
// presets, each value with its place. A flag takes precedence over the environment, the environment over the file,
// the file over a preset. Reports what does not parse; resolve-settings.ts checks what the values mean together.

import type { Problem } from '#fleet/problem.ts'
import { readConfigFile } from './config-file.ts'
import { readFileText, whyUnread } from './file-text.ts'
import { readEnvironment, type Environment } from './environment.ts'
import { readFlags, type Flags } from './flags.ts'
import { OptionValues } from './option-values.ts'
import { OPTIONS, type ServeOptions } from './options.ts'
import type { RawOption, RawOptions } from './raw-option.ts'

/** The options as they were read. */
export interface RawSettings {
  readonly values: OptionValues<ServeOptions>
  readonly problems: readonly Problem[]
  readonly warnings: readonly string[]
  /** The command line has unknown flags or invalid values. */
  readonly isMisused: boolean
}

/** A command's own defaults by option; every other source takes precedence. */
export type Presets = Readonly<Partial<Record<keyof ServeOptions, string>>>

/** Reads a command line, the environment, and the file that one of the two names. */
export function readSettings(args: readonly string[], env: Environment, presets: Presets = {}): RawSettings {
  return mergeSettings(readFlags(OPTIONS, args), env, presets)
}

/** The same for flags that a command with more flags has already read. */
export function mergeSettings(flags: Flags, env: Environment, presets: Presets = {}): RawSettings {
  const environment = readEnvironment(OPTIONS, env)
  const path = flags.values.get('config') ?? environment.values.get('config')
  const file = path === undefined || path.text === '' ? NO_FILE : readFile(path)
  const merged = new Map<string, RawOption>([
    ...presetValues(presets),
    ...file.values,
    ...environment.values,
    ...flags.values,
  ])
  const problems = [...flags.problems, ...file.problems]
  const values = new OptionValues(OPTIONS, merged, problems)
  const isMisused = flags.problems.length > 0 || values.hasInvalidFrom('flag')
  return { values, problems, warnings: environment.warnings, isMisused }
}

const NO_FILE = { values: new Map<string, RawOption>(), problems: [] as readonly Problem[] }

function readFile(path: RawOption): typeof NO_FILE | ReturnType<typeof readConfigFile> {
  const file = readFileText(path.text)
  if ('text' in file) return readConfigFile(OPTIONS, path.text, file.text)
  const problem = { where: path.where, found: `${path.text} ${whyUnread(file)}`, expected: 'a YAML file' }
  return { ...NO_FILE, problems: [problem] }
}

function presetValues(presets: Presets): RawOptions {
  return new Map(
    Object.entries(presets).map(([name, text]) => [
      name,
      { text, source: 'preset', where: `-${name}` } as const,
    ]),
  )
}

// The settings that may change while the relay serves, and the reading of all settings again for that. Everything is
// checked before anything is returned: a reload applies all that has changed, or nothing. What has changed and needs a
// restart is named. Applies nothing itself.

import { statSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type { Problem } from '#fleet/problem.ts'
import { shownText } from '#fleet/secret-mask.ts'
import type { HostInfo } from './host-info.ts'
import { displayName, type Option } from './option.ts'
import type { OptionValues } from './option-values.ts'
import { OPTIONS, type ServeOptions } from './options.ts'
import type { RawSettings } from './read-settings.ts'
import { resolveSettings } from './resolve-settings.ts'
import type { Settings } from './settings.ts'

export type LiveSettings = Pick<
  Settings,
  | 'limits'
  | 'admission'
  | 'disallowedAppNames'
  | 'drain'
  | 'home'
  | 'bootstrapDnsNames'
  | 'logLevel'
  | 'shown'
  | 'verbsToken'
> &
  Pick<Settings['mesh'], 'rebalancePerSecond' | 'mapHoldDowns' | 'isMapServed'>

export function liveSettings(settings: Settings): LiveSettings {
  const { limits, admission, disallowedAppNames, drain, home, bootstrapDnsNames, logLevel } = settings
  const { verbsToken, mesh, shown } = settings
  const { rebalancePerSecond, mapHoldDowns, isMapServed } = mesh
  const ofMesh = { rebalancePerSecond, mapHoldDowns, isMapServed }
  const more = { bootstrapDnsNames, logLevel, shown, verbsToken, ...ofMesh }
  return { limits, admission, disallowedAppNames, drain, home, ...more }
}

/** All settings of the sources as they are now. */
export interface SettingsSource {
  /** Reads command line, environment and file again. */
  readonly read: () => RawSettings
  readonly host: () => HostInfo
  /** What would make a start with these settings fail, besides. */
  readonly startProblems: (settings: Settings, inUse: Settings) => readonly Problem[]
}

/** The settings in use: those that the relay has started with, and what reloads have changed. */
export interface SettingsInUse {
  readonly raw: RawSettings
  readonly settings: Settings
}

export interface AcceptedSettings {
  readonly inUse: SettingsInUse
  /** One line for each option, with its old and new value. */
  readonly changed: readonly string[]
  readonly needsRestart: readonly string[]
  /** Those that were not given before. */
  readonly warnings: readonly string[]
}

export function rereadSettings(
  source: SettingsSource,
  { raw: before, settings }: SettingsInUse,
): AcceptedSettings | { readonly problems: readonly Problem[] } {
  const configPipe = unreadableTwice(before.values, ['config'])
  if (configPipe.length > 0) return { problems: configPipe }
  const raw = source.read()
  const pipes = unreadableTwice(raw.values, READ_FILES)
  if (pipes.length > 0) return { problems: pipes }
  // A configuration that the next start refuses is refused now.
  const asStarted = resolve(raw, source)
  if ('problems' in asStarted) return asStarted
  const startProblems = source.startProblems(asStarted.settings, settings)
  if (startProblems.length > 0) return { problems: startProblems }
  // What needs a restart stays as it is, and what is applied fits it.
  const problems: Problem[] = []
  const values = before.values.mixedWith(raw.values, isLive, problems)
  const mixed = { ...raw, values, problems }
  const asReloaded = resolve(mixed, source)
  if ('problems' in asReloaded) return asReloaded
  return {
    inUse: { raw: mixed, settings: asReloaded.settings },
    changed: [
      ...optionChanges(before.values, raw.values, isLive),
      ...contentChanges(LIVE_CONTENTS, { raw: before, settings }, { raw, settings: asReloaded.settings }),
    ],
    needsRestart: [
      ...optionChanges(before.values, raw.values, (option) => !isLive(option)),
      ...contentChanges(FIXED_CONTENTS, { raw: before, settings }, { raw, settings: asStarted.settings }),
    ],
    warnings: asReloaded.settings.warnings.filter((warning) => !settings.warnings.includes(warning)),
  }
}

function isLive({ reload }: Option): boolean {
  return reload === 'value'
}

function resolve(
  raw: RawSettings,
  { host }: SettingsSource,
): { readonly settings: Settings } | { readonly problems: readonly Problem[] } {
  const resolution = resolveSettings(raw, host())
  if ('problems' in resolution) return resolution
  // A start would create these files with new content.
  const problems = resolution.newFiles
    .filter(({ existing }) => existing === 'is kept')
    .map(({ path }) => ({ where: path, found: 'does not exist any more', expected: '' }))
  return problems.length > 0 ? { problems } : resolution
}

/** Options that name files which are read again. */
const READ_FILES = [
  'config',
  'key-file',
  'mesh-psk-file',
  'regions-file',
  'map-key-file',
  'nats-credentials-file',
  'nats-ca-file',
  'nats-secret-file',
  'mesh-ca-file',
  'rate-config',
  'verbs-token-file',
] as const

/** A pipe, such as a shell's `<(…)`, was read to its end at the start; to open it again may block for ever. */
function unreadableTwice(
  values: OptionValues<ServeOptions>,
  names: readonly (typeof READ_FILES)[number][],
): readonly Problem[] {
  return names.flatMap((name) => {
    const path = values.get(name)
    if (path === undefined || !isPipe(path)) return []
    const expected = 'a file that can be read again'
    return [{ where: values.where(name), found: `${path} is not a file`, expected }]
  })
}

/** Whether something else than a file is there; what is missing or not accessible is for its reader to report. */
function isPipe(path: string): boolean {
  try {
    return !statSync(path).isFile()
  } catch {
    return false
  }
}

function optionChanges(
  before: OptionValues<ServeOptions>,
  after: OptionValues<ServeOptions>,
  fits: (option: Option) => boolean,
): readonly string[] {
  return Object.entries<Option>(OPTIONS).flatMap(([key, option]) => {
    const name = key as keyof ServeOptions
    if (!fits(option) || isDeepStrictEqual(before.get(name), after.get(name))) return []
    return [`${displayName(name, option)}: ${shownValue(before, name)}, now ${shownValue(after, name)}`]
  })
}

function shownValue(values: OptionValues<ServeOptions>, name: keyof ServeOptions): string {
  const text = values.text(name)
  return values.source(name) === undefined ? text : shownText(text)
}

type OptionName = keyof ServeOptions
type Contents = Readonly<Partial<Record<OptionName, (settings: Settings) => unknown>>>

const LIVE_CONTENTS: Contents = {
  'rate-config': ({ limits }) => limits.rate,
  'verbs-token-file': ({ verbsToken }) => verbsToken,
}

const FIXED_CONTENTS: Contents = {
  'key-file': ({ nodeKey }) => nodeKey.publicKey,
  'mesh-ca-file': ({ mesh }) => mesh.ca,
  'map-key-file': ({ mesh }) => mesh.mapKey,
  'nats-ca-file': ({ mesh }) => mesh.nats?.ca,
  'nats-secret-file': ({ mesh }) => mesh.nats?.secret,
}

/** Files that have other content than before, under the same path, by the options that name them. */
function contentChanges(contents: Contents, before: SettingsInUse, after: SettingsInUse): readonly string[] {
  // With -dev the key is new at each reading.
  if (before.raw.values.get('dev')) return []
  return Object.entries(contents).flatMap(([key, contentOf]) => {
    const name = key as OptionName
    const isSamePath = isDeepStrictEqual(before.raw.values.get(name), after.raw.values.get(name))
    const isSame = isDeepStrictEqual(contentOf(before.settings), contentOf(after.settings))
    return isSame || !isSamePath ? [] : [`${displayName(name, OPTIONS[name])}: the file has other content`]
  })
}

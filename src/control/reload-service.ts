// Reads again, while the relay serves, what can change: the one owner of reloads, whoever asks for them (SIGHUP, a command, a
// file that has changed). The configuration is applied as a whole or not at all. Files that are in use by content, such as
// the regions file, are each applied or refused by their owners. Runs on the control thread.

import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  liveSettings,
  rereadSettings,
  type AcceptedSettings,
  type LiveSettings,
  type SettingsInUse,
  type SettingsSource,
} from '#config/live-settings.ts'
import type { Settings } from '#config/settings.ts'
import { problemText } from '#fleet/problem.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import type { FileReload } from './content-file.ts'
import type { Service } from './service.ts'
import { WatchedFile } from './watched-file.ts'

/** As of the files that options name. */
const FILE_BYTES_MAX = 4_194_304
/** Problems that a log line has room for. */
const PROBLEMS_MAX = 20
/** The configuration in the reload metrics, whether it has a file or not. */
const CONFIG = 'config'

/** A part that owns files and reads them again. */
export interface FileOwner {
  reload(): Promise<readonly FileReload[]>
}

export interface ReloadParts {
  readonly log: Log
  readonly reloads: Reloads
  readonly settings: Settings
  /** How the settings are read again; undefined for settings that were not read. */
  readonly source: (SettingsSource & Pick<SettingsInUse, 'raw'>) | undefined
  /** The service manager, if it wants to be told. */
  readonly notify: { reloading(): void; reloaded(): void } | undefined
  /** Those of files that are in use by content. */
  readonly fileOwners: readonly FileOwner[]
  /** Puts settings in use; they have been checked. */
  readonly apply: (now: LiveSettings, before: LiveSettings) => void
  /** The relay threads, which use what is new when they have handled it. */
  readonly threads: { handled(): Promise<void> }
}

/** What a reload has done. With problems, the previous configuration, or the previous content of a file, stays in use. */
export interface ReloadResult {
  readonly problems: readonly string[]
  readonly changed: readonly string[]
  readonly needsRestart: readonly string[]
  readonly files: readonly FileReload[]
}

type ConfigResult = Omit<ReloadResult, 'files'>

const NOTHING: ConfigResult = { problems: [], changed: [], needsRestart: [] }

export class ReloadService implements Service {
  readonly #parts: ReloadParts
  readonly #configPath: string | undefined
  #inUse: SettingsInUse | undefined
  #live: LiveSettings
  #watched: readonly WatchedFile[] = []
  /** One reload at a time. */
  #reloading: Promise<ReloadResult> | undefined = undefined
  /** The one after it, which all who ask meanwhile share. */
  #next: Promise<ReloadResult> | undefined = undefined
  #isStopped = false

  constructor(parts: ReloadParts) {
    this.#parts = parts
    const { settings, source, reloads } = parts
    this.#inUse = source && { raw: source.raw, settings }
    this.#live = liveSettings(settings)
    this.#configPath = source?.raw.values.get('config')
    reloads.accepted(CONFIG, this.#configPath ?? '')
  }

  /** The settings in use that reloads may change. */
  get live(): LiveSettings {
    return this.#live
  }

  start(): void {
    this.#watch()
  }

  /** Nothing is read any more; what is being read is not applied. */
  stop(): void {
    this.#isStopped = true
    for (const file of this.#watched) file.stop()
  }

  /** Reads everything again. While a reload runs, all who ask share the one after it. */
  async reload(): Promise<ReloadResult> {
    if (this.#reloading === undefined) return await this.#begin()
    this.#next ??= this.#reloading.then(async () => {
      this.#next = undefined
      return await this.#begin()
    })
    return await this.#next
  }

  async #begin(): Promise<ReloadResult> {
    this.#reloading = this.#reload().finally(() => (this.#reloading = undefined))
    return await this.#reloading
  }

  async #reload(): Promise<ReloadResult> {
    const { fileOwners, log, notify, threads } = this.#parts
    // Signals that have arrived together are read one by one in this turn of the loop; one reload answers all of them.
    await nextTurn()
    notify?.reloading()
    const config = this.#reloadConfig()
    const files = (await Promise.all(fileOwners.map(async (owner) => await owner.reload()))).flat()
    // Whoever asked for a reload may rely on it from the answer on.
    await threads.handled()
    const found = files.map(({ path, result }) => ({ path, result }))
    log.info(LogEvent.relayReloaded, { changed: config.changed, files: found })
    notify?.reloaded()
    return { ...config, problems: [...config.problems, ...files.flatMap(problemsOf)], files }
  }

  /** The configuration alone has changed on disk. */
  #onFile(): void {
    const { changed } = this.#reloadConfig()
    if (changed.length > 0) this.#parts.log.info(LogEvent.relayReloaded, { changed, files: [] })
  }

  #reloadConfig(): ConfigResult {
    const { source, log } = this.#parts
    if (source === undefined || this.#inUse === undefined || this.#isStopped) return NOTHING
    try {
      const reread = rereadSettings(source, this.#inUse)
      return 'problems' in reread ? this.#refuse(reread.problems.map(problemText)) : this.#use(reread)
    } catch (error) {
      // A bug in this program, but none that should end a relay that serves.
      log.error(LogEvent.reloadFailed, { error })
      return { ...NOTHING, problems: ['internal error; see reload_failed in the log'] }
    }
  }

  #refuse(problems: readonly string[]): ConfigResult {
    const { log, reloads } = this.#parts
    reloads.rejected(CONFIG)
    log.warn(LogEvent.configRejected, { path: this.#configPath, problems: problems.slice(0, PROBLEMS_MAX) })
    return { ...NOTHING, problems }
  }

  #use({ inUse, changed, needsRestart, warnings }: AcceptedSettings): ConfigResult {
    const { log, reloads } = this.#parts
    const before = this.#live
    this.#inUse = inUse
    this.#live = liveSettings(inUse.settings)
    this.#parts.apply(this.#live, before)
    reloads.accepted(CONFIG, this.#configPath ?? '')
    for (const message of warnings) log.warn(LogEvent.settingWarning, { message })
    if (needsRestart.length > 0) {
      log.warn(LogEvent.restartNeeded, { message: `needs a restart: ${needsRestart.join('; ')}` })
    }
    this.#watch()
    return { problems: [], changed, needsRestart }
  }

  /** The rate file may be another one after a reload. */
  #watch(): void {
    const ratePath = this.#inUse?.raw.values.get('rate-config')
    const paths = [this.#configPath, ratePath].filter((path) => path !== undefined)
    const known = this.#watched.filter(({ path }) => paths.includes(path))
    for (const file of this.#watched) if (!known.includes(file)) file.stop()
    const added = paths.filter((path) => !known.some((file) => file.path === path))
    this.#watched = [...known, ...added.map((path) => this.#watchedFile(path))]
  }

  #watchedFile(path: string): WatchedFile {
    // The first look finds what has changed since the start, too.
    const file = new WatchedFile(path, FILE_BYTES_MAX, {
      onText: () => this.#onFile(),
      onProblem: () => this.#onFile(),
    })
    file.start()
    return file
  }
}

function problemsOf({ path, problems }: FileReload): readonly string[] {
  return problems.map((problem) => `${path}: ${problem}`)
}

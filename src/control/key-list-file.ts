// The operator's list of keys, and the file that it comes from: read at the start, and again whenever it changes. A list that is
// invalid changes nothing; the log and the reload metrics tell of it. What the list means is admission's business. Runs on the
// control thread.

import { readFileText } from '#config/file-text.ts'
import { reasonOf } from '#fleet/problem.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { KEY_LIST_BYTES_MAX, readKeyList, type KeyList } from '#protocol/key-list.ts'
import type { FileReload } from './mesh-files.ts'
import { WatchedFile } from './watched-file.ts'

/** In the reload metrics. */
const OPTION = 'allow-keys-file'

export interface KeyListFileParts {
  readonly log: Log
  readonly reloads: Reloads
  /** The list from now on; undefined: there is none. */
  readonly onList: (list: KeyList | undefined) => void
}

export class KeyListFile {
  readonly #parts: KeyListFileParts
  #file: WatchedFile | undefined = undefined
  #text = ''
  /** Of content that is not in use. */
  #problems: readonly string[] = []
  #isStarted = false

  constructor(parts: KeyListFileParts) {
    this.#parts = parts
  }

  /** The file from now on, which the settings have checked; undefined: there is none. */
  setPath(path: string | undefined): void {
    if (path === this.#file?.path) return
    this.#file?.stop()
    this.#file = undefined
    this.#problems = []
    if (path === undefined) return this.#parts.onList(undefined)
    const file = new WatchedFile(path, KEY_LIST_BYTES_MAX, {
      onText: (text) => this.#useText(path, text),
      onProblem: (error) => this.#refuse(path, [reasonOf(error)]),
    })
    this.#file = file
    const read = readFileText(path)
    if ('text' in read) this.#useText(path, read.text)
    if (this.#isStarted) file.start()
  }

  start(): void {
    this.#isStarted = true
    this.#file?.start()
  }

  async reload(): Promise<readonly FileReload[]> {
    const file = this.#file
    if (file === undefined) return []
    const look = await file.look()
    const isRefused = this.#problems.length > 0 && look !== 'unreadable'
    return [{ path: file.path, result: isRefused ? 'refused' : look, problems: this.#problems }]
  }

  stop(): void {
    this.#file?.stop()
  }

  #useText(path: string, text: string): void {
    const { log, reloads, onList } = this.#parts
    const read = readKeyList(path, text)
    if ('problems' in read) return this.#refuse(path, read.problems)
    reloads.accepted(OPTION, path)
    this.#problems = []
    if (text === this.#text) return
    this.#text = text
    if (this.#isStarted) log.info(LogEvent.keyListChanged, { path, keys: read.list.size })
    onList(read.list)
  }

  #refuse(path: string, problems: readonly string[]): void {
    const { log, reloads } = this.#parts
    log.warn(LogEvent.keyListRejected, { path, problems })
    reloads.rejected(OPTION)
    this.#problems = problems
  }
}

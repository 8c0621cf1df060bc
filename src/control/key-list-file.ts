// The operator's list of keys, and the file that it comes from: read at the start, and again whenever it changes (content-file.ts).
// What the list means is admission's business. Runs on the control thread.

import { readFileText } from '#config/file-text.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { KEY_LIST_BYTES_MAX, readKeyList, type KeyList } from '#protocol/key-list.ts'
import { ContentFile, type FileReload } from './content-file.ts'

export interface KeyListFileParts {
  readonly log: Log
  readonly reloads: Reloads
  /** The list from now on; undefined: there is none. */
  readonly onList: (list: KeyList | undefined) => void
}

export class KeyListFile {
  readonly #parts: KeyListFileParts
  #file: ContentFile | undefined = undefined
  /** Of the list in use; undefined: there is none. */
  #text: string | undefined = undefined
  #isStarted = false

  constructor(parts: KeyListFileParts) {
    this.#parts = parts
  }

  /** The file from now on, which the settings have checked; undefined: there is none. */
  setPath(path: string | undefined): void {
    if (path === this.#file?.path) return
    this.#file?.stop()
    this.#file = undefined
    if (path === undefined) {
      this.#text = undefined
      return this.#parts.onList(undefined)
    }
    this.#file = new ContentFile({
      path,
      option: 'allow-keys-file',
      bytesMax: KEY_LIST_BYTES_MAX,
      refused: LogEvent.keyListRejected,
      use: (_, text) => this.#use(path, text),
      ...this.#parts,
    })
    const read = readFileText(path)
    if ('text' in read) this.#use(path, read.text)
    if (this.#isStarted) this.#file.start()
  }

  start(): void {
    this.#isStarted = true
    this.#file?.start()
  }

  async reload(): Promise<readonly FileReload[]> {
    return this.#file === undefined ? [] : [await this.#file.reload()]
  }

  stop(): void {
    this.#file?.stop()
  }

  #use(path: string, text: string): readonly string[] {
    if (text === this.#text) return []
    const read = readKeyList(path, text)
    if ('problems' in read) return read.problems
    const { log, onList } = this.#parts
    this.#text = text
    if (this.#isStarted) log.info(LogEvent.keyListChanged, { path, keys: read.list.size })
    onList(read.list)
    return []
  }
}

// A text file that may change while the relay serves. Read every two seconds rather than watched, because a file that an
// orchestrator replaces is another file under the same name. The text is reported at the first look and after each change,
// once it has stayed the same for a moment, so that a half-written file is never used. Runs on the control thread.

import { setTimeout as pause } from 'node:timers/promises'
import { readChangingFile, whyUnread } from '#config/file-text.ts'

const LOOK_MS = 2_000
/** Longer than an editor or a shell needs to write a file that it has emptied. */
const SETTLE_MS = 300

export interface FileListener {
  /** The text is new, or the file is readable again. */
  onText(text: string): void
  /** The file can't be read; called once until it can. */
  onProblem(error: Error): void
}

/** What a look at a file found: new text, the same text, or none. */
export type FileLook = 'new' | 'same' | 'unreadable'

export class WatchedFile {
  readonly path: string
  readonly #bytesMax: number
  readonly #listener: FileListener
  #text: string | undefined = undefined
  #isUnreadable = false
  #timer: NodeJS.Timeout | undefined = undefined
  #looking: Promise<FileLook> | undefined = undefined
  #isStopped = false

  /** @param bytesMax a larger file is a problem */
  constructor(path: string, bytesMax: number, listener: FileListener) {
    this.path = path
    this.#bytesMax = bytesMax
    this.#listener = listener
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MS)
    this.#timer.unref()
  }

  stop(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
  }

  /** Looks now; one look at a time. */
  async look(): Promise<FileLook> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return await this.#looking
  }

  async #look(): Promise<FileLook> {
    if (this.#isStopped) return 'same'
    try {
      const text = await this.#read()
      if (text === this.#text && !this.#isUnreadable) return 'same'
      await pause(SETTLE_MS, undefined, { ref: false })
      // The file is still being written; the next look may find it complete.
      if ((await this.#read()) !== text || this.#isStopped) return 'same'
      this.#isUnreadable = false
      this.#text = text
      this.#listener.onText(text)
      return 'new'
    } catch (error) {
      if (this.#isStopped) return 'same'
      if (!this.#isUnreadable)
        this.#listener.onProblem(error instanceof Error ? error : new Error(String(error)))
      this.#isUnreadable = true
      return 'unreadable'
    }
  }

  async #read(): Promise<string> {
    const file = await readChangingFile(this.path, this.#bytesMax)
    if ('text' in file) return file.text
    throw new Error(whyUnread(file))
  }
}

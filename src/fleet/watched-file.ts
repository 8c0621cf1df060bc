// A file whose text matters while the relay runs. Looked at every few seconds, since a file that an orchestrator
// replaces is another file behind the same name. What is in it is told at the first look and whenever it has changed.

import { readFile } from 'node:fs/promises'

const LOOK_MS = 2_000

export interface FileListener {
  onText(text: string): void
  /** It can't be read; told once until it can. */
  onProblem(error: Error): void
}

/** What a look at a file found: text that is new, the same as before, or none. */
export type FileLook = 'new' | 'same' | 'unreadable'

export class WatchedFile {
  readonly path: string
  readonly #listener: FileListener
  #text: string | undefined = undefined
  #isUnread = false
  #timer: NodeJS.Timeout | undefined = undefined
  #looking: Promise<FileLook> | undefined = undefined

  constructor(path: string, listener: FileListener) {
    this.path = path
    this.#listener = listener
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Looks now; one look at a time. */
  async look(): Promise<FileLook> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return await this.#looking
  }

  async #look(): Promise<FileLook> {
    try {
      const text = await readFile(this.path, 'utf8')
      this.#isUnread = false
      if (text === this.#text) return 'same'
      this.#text = text
      this.#listener.onText(text)
      return 'new'
    } catch (error) {
      if (!this.#isUnread) this.#listener.onProblem(error instanceof Error ? error : new Error(String(error)))
      this.#isUnread = true
      return 'unreadable'
    }
  }
}

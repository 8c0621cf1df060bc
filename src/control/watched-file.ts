// A file whose text matters while the relay runs. Looked at every few seconds, since a file that an orchestrator
// replaces is another file behind the same name. What is in it is told at the first look and whenever it has changed,
// when it stays as it is: half of a file that is just being written is nobody's wish.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'

const LOOK_MS = 2_000
/** Longer than an editor or a shell needs to write a file that it has emptied. */
const SETTLE_MS = 300

export interface FileListener {
  /** Also when it could not be read meanwhile, and is as it was. */
  onText(text: string): void
  /** It can't be read; told once until it can. */
  onProblem(error: Error): void
}

/** What a look at a file found: text that is new, the same as before, or none. */
export type FileLook = 'new' | 'same' | 'unreadable'

export class WatchedFile {
  readonly path: string
  readonly #bytesMax: number
  readonly #listener: FileListener
  #text: string | undefined = undefined
  #isUnread = false
  #timer: NodeJS.Timeout | undefined = undefined
  #looking: Promise<FileLook> | undefined = undefined
  #isStopped = false

  /** @param bytesMax that may be in it */
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
      if (text === this.#text && !this.#isUnread) return 'same'
      await pause(SETTLE_MS, undefined, { ref: false })
      // Whoever is writing it is not done: the next look may find what is meant.
      if ((await this.#read()) !== text || this.#isStopped) return 'same'
      this.#isUnread = false
      this.#text = text
      this.#listener.onText(text)
      return 'new'
    } catch (error) {
      if (this.#isStopped) return 'same'
      if (!this.#isUnread) this.#listener.onProblem(error instanceof Error ? error : new Error(String(error)))
      this.#isUnread = true
      return 'unreadable'
    }
  }

  /** Nothing but a file, which can't keep who reads it waiting, and no more of it than may be there. */
  async #read(): Promise<string> {
    const file = await open(this.path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const status = await file.stat()
      if (!status.isFile()) throw new Error('is not a file')
      if (status.size > this.#bytesMax) {
        throw new Error(`has ${status.size} bytes; expected ${this.#bytesMax} at most`)
      }
      const { buffer, bytesRead } = await file.read(Buffer.alloc(status.size), 0, status.size, 0)
      return buffer.toString('utf8', 0, bytesRead)
    } finally {
      await file.close()
    }
  }
}

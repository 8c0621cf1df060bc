// A file whose content is in use, and is read again when it changes: new content is used, or refused with a line in the log. What
// is refused changes nothing; the reload metrics and the answer to a reload tell of it. What the content means is its owner's
// business. Runs on the control thread.

import { reasonOf } from '#fleet/problem.ts'
import type { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { WatchedFile, type FileLook } from './watched-file.ts'

/** Problems of one file that a log line has room for. */
export const PROBLEMS_MAX = 20

/** What a reload found in one file. */
export interface FileReload {
  readonly path: string
  /** `refused`: its content is invalid, now or since an earlier look; the previous content stays in use. */
  readonly result: FileLook | 'refused'
  /** Of content that is refused, or why it cannot be read. */
  readonly problems: readonly string[]
}

export interface ContentFileParts {
  readonly path: string
  /** The option that names the file, in the reload metrics. */
  readonly option: string
  /** A larger file is a problem. */
  readonly bytesMax: number
  /** The event of content that is refused. */
  readonly refused: LogEvent
  /** Returns the problems of the content; if there are none, the content is in use from now on. */
  readonly use: (path: string, text: string) => readonly string[]
  readonly log: Log
  readonly reloads: Reloads
}

export class ContentFile {
  readonly #parts: ContentFileParts
  readonly #file: WatchedFile
  /** Of the present content, while it is not in use. */
  #problems: readonly string[] = []
  /** The present content, if its owner has refused it. */
  #refused: string | undefined = undefined

  /** Its present content is in use already, or is about to be. */
  constructor(parts: ContentFileParts) {
    this.#parts = parts
    const { path, option, bytesMax, reloads } = parts
    reloads.accepted(option, path)
    this.#file = new WatchedFile(path, bytesMax, {
      onText: (text) => this.#onText(text),
      onProblem: (error) => this.#refuse([reasonOf(error)]),
    })
  }

  get path(): string {
    return this.#parts.path
  }

  start(): void {
    this.#file.start()
  }

  /** Reads the file now. */
  async reload(): Promise<FileReload> {
    const look = await this.#file.look()
    const isRefused = this.#problems.length > 0 && look !== 'unreadable'
    return { path: this.path, result: isRefused ? 'refused' : look, problems: this.#problems }
  }

  /** Content that was refused may be right by now. */
  again(): void {
    if (this.#refused !== undefined) this.#onText(this.#refused)
  }

  stop(): void {
    this.#file.stop()
  }

  #onText(text: string): void {
    const { option, path, reloads, use } = this.#parts
    const problems = use(path, text)
    this.#refused = problems.length > 0 ? text : undefined
    if (problems.length > 0) return this.#refuse(problems)
    reloads.accepted(option, path)
    this.#problems = []
  }

  #refuse(problems: readonly string[]): void {
    const { log, option, path, refused, reloads } = this.#parts
    log.warn(refused, { path, problems: problems.slice(0, PROBLEMS_MAX) })
    reloads.rejected(option)
    this.#problems = problems
  }
}

// The lane's roster, and the file that it comes from: given at the start, and read again whenever it changes (content-file.ts). Runs on
// the control thread.

import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { readRoster, ROSTER_BYTES_MAX, type Roster } from '#protocol/lane-roster.ts'
import { ContentFile, type FileReload } from './content-file.ts'

export interface RosterFileParts {
  readonly path: string
  /** What the file had when the settings were read. */
  readonly roster: Roster
  readonly log: Log
  readonly reloads: Reloads
  /** The roster from now on. */
  readonly onRoster: (roster: Roster) => void
}

export class RosterFile {
  readonly #file: ContentFile
  #roster: Roster
  #text: string | undefined = undefined

  constructor(parts: RosterFileParts) {
    const { path, log, reloads, onRoster } = parts
    this.#roster = parts.roster
    this.#file = new ContentFile({
      path,
      option: 'lane-roster',
      bytesMax: ROSTER_BYTES_MAX,
      refused: LogEvent.laneRosterRejected,
      use: (_, text) => {
        if (text === this.#text) return []
        const read = readRoster(path, text)
        if ('problems' in read) return read.problems
        const isFirst = this.#text === undefined
        this.#text = text
        this.#roster = read.roster
        // The first look finds what the start has read, or what has changed since.
        if (!isFirst) log.info(LogEvent.laneRosterChanged, { path, peers: read.roster.length })
        onRoster(read.roster)
        return []
      },
      log,
      reloads,
    })
  }

  get roster(): Roster {
    return this.#roster
  }

  start(): void {
    this.#file.start()
  }

  async reload(): Promise<FileReload> {
    return await this.#file.reload()
  }

  stop(): void {
    this.#file.stop()
  }
}

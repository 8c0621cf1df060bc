// What a relay's DERP map says of nodes that are away, kept in the state folder: a later run of the relay begins with it. So
// neither a restart nor an upgrade gives clients back what is gone. A folder that can't be written to is no reason not to
// serve. Runs on the control thread.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { NodeState } from '#fleet/node-state.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { readStateFile, replaceStateFileNow } from './state-file.ts'

const FILE = 'map.json'
const FORMAT = 1
/** Of a regions file with the most nodes that it may have, ten thousand, and names of a hundred characters: 3.2 MB. */
const BYTES_MAX = 4_194_304
/**
 * What is older says nothing any more: a relay that was away itself for so long begins with the file's map. Longer than an
 * upgrade of the host's system with its restart.
 */
const AGE_MS_MAX = 900_000
/** The time in the file is renewed this often. */
const RENEWED_MS = 60_000

export class MapMemory {
  readonly #path: string
  readonly #log: Log
  #kept = ''
  #keptMs = -Infinity
  #hasFailed = false

  constructor(folder: string, log: Log) {
    this.#path = join(folder, FILE)
    this.#log = log
  }

  /** Nodes that were away by the map that this relay served last; empty if that is too long ago. */
  read(): ReadonlyMap<string, NodeState> {
    try {
      return statesIn(readStateFile(this.#path, BYTES_MAX), Date.now())
    } catch {
      // There is none, or it is of no use: it is replaced by the next one.
      return new Map()
    }
  }

  /** Keeps the nodes that are away by the map that is served now. */
  keep(away: ReadonlyMap<string, NodeState>): void {
    const nodes = Object.fromEntries([...away].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const text = JSON.stringify(nodes)
    const nowMs = performance.now()
    if (text === this.#kept && (away.size === 0 || nowMs - this.#keptMs < RENEWED_MS)) return
    this.#kept = text
    this.#keptMs = nowMs
    try {
      if (away.size === 0) rmSync(this.#path, { force: true })
      else this.#write(`${JSON.stringify({ format: FORMAT, keptMs: Date.now(), away: nodes })}\n`)
      this.#hasFailed = false
    } catch (error) {
      if (!this.#hasFailed) this.#log.warn(LogEvent.mapNotKept, { path: this.#path, error })
      this.#hasFailed = true
    }
  }

  #write(text: string): void {
    // It could not be read again.
    if (Buffer.byteLength(text) > BYTES_MAX) throw new Error(`it would have more than ${BYTES_MAX} bytes`)
    replaceStateFileNow(this.#path, text)
  }
}

function statesIn(text: string, nowMs: number): ReadonlyMap<string, NodeState> {
  const content: unknown = JSON.parse(text)
  if (typeof content !== 'object' || content === null || !('away' in content)) return new Map()
  const { format, keptMs, away } = content as { format?: unknown; keptMs?: unknown; away: unknown }
  const ageMs = nowMs - Number(keptMs)
  // A clock that was set back makes an age that is negative, and one that was never set one of many years.
  if (format !== FORMAT || !(ageMs >= -AGE_MS_MAX && ageMs <= AGE_MS_MAX)) return new Map()
  if (typeof away !== 'object' || away === null) return new Map()
  const states = Object.entries(away).flatMap(([name, state]) =>
    state === NodeState.down || state === NodeState.draining ? [[name, state] as const] : [],
  )
  return new Map(states)
}

// Whom an operator denies, kept in the state folder: a relay that is restarted or upgraded goes on refusing them. Written whole at each
// change, which are few. Of two runs of one relay, each follows what the other has written. A folder that cannot be written to is no
// reason not to deny; a file that cannot be read, or that a later version wrote, is passed over. Times are those of the clock on the
// wall. Runs on the control thread.
//
// Contract: a file is complete or it is not there, and a version without denials reads it, as kicks.

import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Ban, Bans } from '#admission/bans.ts'
import { KICK_SECONDS_MAX, reasonProblem } from '#fleet/kick.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { keyName, keyNamed, parsePublicKey, publicKeyText } from '#protocol/node-key.ts'
import { readStateFile, replaceStateFile } from './state-file.ts'

const FILE = 'kicked.json'
const FORMAT = 1
/** Of as many as there may be, two hundred bytes each. Versions without denials read no more. */
const BYTES_MAX = 2_097_152
/** Whatever a file says, and wherever the clock was when it was written. */
const FOR_MS_MAX = 1_000 * KICK_SECONDS_MAX
/** The last date that there is: it has no end. A version without denials takes a year of it. */
const NEVER_MS = 8_640_000_000_000_000
/** As often as files of the operator. */
const LOOK_MS = 2_000
/** Ends that differ by less are one: they are rounded, and clocks are slewed. */
const SAME_MS = 1_000

interface Kept {
  readonly format: typeof FORMAT
  /** Until when each key is denied, in Unix milliseconds. */
  readonly untilMs: Readonly<Record<string, number>>
  /** Of these keys, in their order: since when (null: not known) and why. A version without denials leaves it out. */
  readonly details?: readonly (readonly [sinceMs: number | null, reason: string])[]
}

/** By the names of keys. */
type Known = ReadonlyMap<string, Ban>

export interface BanMemoryParts {
  readonly folder: string
  readonly bans: Bans
  readonly log: Log
  /** Another run has denied these keys for so long, or allowed them: 0. */
  readonly onChange: (changed: readonly (readonly [key: Uint8Array, forMs: number])[]) => void
}

export class BanMemory {
  readonly #parts: BanMemoryParts
  readonly #path: string
  /** Keys of changes that wait for a write. */
  #changed = new Set<string>()
  #writing: Promise<boolean> = Promise.resolve(true)
  /** Changes that are not written yet, and those that are being written. */
  #pending = 0
  /** Tells the file that was looked at from a later one. */
  #mark = ''
  #isKept = true
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: BanMemoryParts) {
    this.#parts = parts
    this.#path = join(parts.folder, FILE)
  }

  /** Whom an earlier run has denied is denied by this one. */
  read(): void {
    this.#mark = markOf(this.#path)
    for (const [name, ban] of readKnown(this.#path) ?? []) this.#parts.bans.set(keyNamed(name), ban)
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MS)
    this.#timer.unref()
  }

  /** Does what another run has done. To be called now and then. */
  look(): void {
    if (this.#pending === 0) this.#follow(new Set())
  }

  /** The key was denied, or may come back. Resolves to whether a later run will know of it. */
  async keep(key: Uint8Array): Promise<boolean> {
    // One write for all that waits.
    const isWaiting = this.#changed.size > 0
    this.#changed.add(keyName(key))
    if (!isWaiting) this.#writing = this.#writing.then(async () => await this.#write())
    this.#pending++
    try {
      return await this.#writing
    } finally {
      this.#pending--
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#writing
  }

  /** @param own keys that were changed here, whatever the file says of them */
  #follow(own: ReadonlySet<string>): void {
    const mark = markOf(this.#path)
    const known = mark === this.#mark || mark === '' ? undefined : readKnown(this.#path)
    this.#mark = mark
    if (known === undefined) return
    const { bans, onChange } = this.#parts
    const isGone = (name: string): boolean => this.#isKept && !own.has(name) && !known.has(name)
    const gone = bans.all().filter(([key]) => isGone(keyName(key)))
    for (const [key] of gone) bans.lift(key)
    const added = [...known]
      .map(([name, ban]) => [keyNamed(name), ban] as const)
      .filter(([key, ban]) => !own.has(keyName(key)) && !isSame(bans.find(key), ban) && bans.set(key, ban))
    const changed = [
      ...gone.map(([key]) => [key, 0] as const),
      ...added.map(([key, { forMs }]) => [key, forMs] as const),
    ]
    if (changed.length > 0) onChange(changed)
  }

  async #write(): Promise<boolean> {
    const changed = this.#changed
    this.#changed = new Set()
    this.#follow(changed)
    try {
      await replaceStateFile(this.#path, `${JSON.stringify(keptOf(this.#parts.bans))}\n`)
      this.#isKept = true
    } catch (error) {
      this.#parts.log.warn(LogEvent.admissionNotKept, { path: this.#path, error })
      this.#isKept = false
    }
    return this.#isKept
  }
}

function keptOf(bans: Bans): Kept {
  const nowMs = Date.now()
  const all = bans.all()
  const untilMs = ({ forMs }: Ban): number => (forMs === Infinity ? NEVER_MS : Math.round(nowMs + forMs))
  return {
    format: FORMAT,
    untilMs: Object.fromEntries(all.map(([key, ban]) => [publicKeyText(key), untilMs(ban)])),
    details: all.map(([, { sinceMs, reason }]) => [sinceMs ?? null, reason]),
  }
}

/** What is denied by the file now; undefined if there is none, or it is of no use. */
function readKnown(path: string): Known | undefined {
  try {
    const content = JSON.parse(readStateFile(path, BYTES_MAX)) as Partial<Kept> | null
    const { format, untilMs, details } = content ?? {}
    if (format !== FORMAT || typeof untilMs !== 'object' || untilMs === null) return undefined
    const entries = Object.entries(untilMs)
    const told = Array.isArray(details) && details.length === entries.length ? details : []
    const known = new Map<string, Ban>()
    for (const [at, [text, until]] of entries.entries()) {
      const [key, ban] = [parsePublicKey(text), banOf(until, told[at])]
      if (key !== undefined && ban !== undefined) known.set(keyName(key), ban)
    }
    return known
  } catch {
    return undefined
  }
}

/** Undefined: it is over, or is no time. */
function banOf(untilMs: unknown, detail: unknown): Ban | undefined {
  if (typeof untilMs !== 'number') return undefined
  const forMs = untilMs === NEVER_MS ? Infinity : Math.min(untilMs - Date.now(), FOR_MS_MAX)
  const [sinceMs, reason]: readonly unknown[] = Array.isArray(detail) ? detail : []
  const isTime = typeof sinceMs === 'number' && sinceMs >= 0 && sinceMs <= NEVER_MS
  const isReason = typeof reason === 'string' && reasonProblem(reason) === undefined
  return forMs > 0
    ? { forMs, sinceMs: isTime ? sinceMs : undefined, reason: isReason ? reason : '' }
    : undefined
}

function isSame(ban: Ban | undefined, other: Ban): boolean {
  if (ban === undefined || ban.reason !== other.reason) return false
  return ban.forMs === other.forMs || Math.abs(ban.forMs - other.forMs) < SAME_MS
}

/** Empty without a file. */
function markOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path)
    return `${ino}/${size}/${mtimeMs}`
  } catch {
    return ''
  }
}

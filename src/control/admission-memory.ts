// What back ends have said of keys, kept in the state folder: a relay that is restarted while its control plane is away still
// knows its clients. Written whole, and rarely. A folder that cannot be written to is no reason not to serve; a file that cannot
// be read, or that a later version wrote, is passed over. Runs on the control thread.
//
// Contract: of two runs of one relay, only the later one writes. A file is complete or it is not there.

import { join } from 'node:path'
import type { AnswerMemory } from '#admission/answer-memory.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { budgetOf } from '#protocol/budget.ts'
import { parsePublicKey, publicKeyText } from '#protocol/node-key.ts'
import { readStateFile, replaceStateFile } from './state-file.ts'

const FILE = 'admission.json'
const FORMAT = 1
/** Of as many keys as the memory holds, eighty bytes each. */
const BYTES_MAX = 16_777_216
/** A crash costs what was learned since. */
const KEEP_EVERY_MS = 10_000

export interface AdmissionMemoryParts {
  readonly folder: string
  readonly memory: AnswerMemory
  /** Tells the back ends that decide now from any others: what others have said is passed over. */
  readonly backEnds: () => string
  /** When a back end failed first, by the monotonic clock; undefined while they decide. */
  readonly failingSinceMs: () => number | undefined
  readonly log: Log
}

interface Kept {
  readonly format: typeof FORMAT
  /** When the run that wrote it had started, in Unix milliseconds: a run writes nothing over what a later one has written. */
  readonly startedMs: number
  readonly backEnds: string
  readonly keptAt: string
  /** For how long no back end had decided then; left out while they did. */
  readonly failingS?: number
  /** Seconds since each key was admitted last. */
  readonly admitted: Readonly<Record<string, number>>
  /** Of those that have one by the back end: bytes and packets per second; null: no limit. Left out if there are none. */
  readonly budgets?: Readonly<Record<string, readonly [bytes: number | null, packets: number | null]>>
}

export class AdmissionMemory {
  readonly #parts: AdmissionMemoryParts
  readonly #path: string
  #startedMs = Date.now()
  #edition: number
  #wasFailing = false
  #timer: NodeJS.Timeout | undefined = undefined
  #writing: Promise<void> = Promise.resolve()
  #hasFailed = false

  constructor(parts: AdmissionMemoryParts) {
    this.#parts = parts
    this.#edition = parts.memory.edition
    this.#path = join(parts.folder, FILE)
  }

  /** Fills the memory. Returns for how many milliseconds no back end had decided, with the time since; undefined if they did. */
  read(): number | undefined {
    const kept = readKept(this.#path)
    if (kept === undefined) return undefined
    // The clock may have been set back since.
    this.#startedMs = Math.max(this.#startedMs, kept.startedMs + 1)
    if (kept.backEnds !== this.#parts.backEnds()) return undefined
    // A clock that was set back makes this negative: then no time has passed, as far as anybody knows.
    const sinceMs = Math.max(0, Date.now() - Date.parse(kept.keptAt)) || 0
    for (const [text, ageS] of Object.entries(kept.admitted)) {
      const key = parsePublicKey(text)
      const budget = budgetOf(...(kept.budgets?.[text] ?? [null, null]))
      if (key !== undefined && ageS >= 0) this.#parts.memory.noteAdmitted(key, 1_000 * ageS + sinceMs, budget)
    }
    this.#edition = this.#parts.memory.edition
    return typeof kept.failingS === 'number' && kept.failingS >= 0
      ? 1_000 * kept.failingS + sinceMs
      : undefined
  }

  start(): void {
    this.#timer = setInterval(() => this.#keep(), KEEP_EVERY_MS)
    this.#timer.unref()
  }

  /** Writes what is new. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#keep()
    await this.#writing
  }

  #keep(): void {
    const { memory, failingSinceMs } = this.#parts
    const isFailing = failingSinceMs() !== undefined
    if (memory.edition === this.#edition && isFailing === this.#wasFailing) return
    this.#edition = memory.edition
    this.#wasFailing = isFailing
    this.#writing = this.#writing.then(async () => await this.#write())
  }

  async #write(): Promise<void> {
    const { log } = this.#parts
    try {
      if ((readKept(this.#path)?.startedMs ?? 0) > this.#startedMs) return
      await replaceStateFile(this.#path, `${JSON.stringify(this.#content())}\n`)
      this.#hasFailed = false
    } catch (error) {
      if (!this.#hasFailed) log.warn(LogEvent.admissionNotKept, { path: this.#path, error })
      this.#hasFailed = true
    }
  }

  #content(): Kept {
    const { memory, failingSinceMs, backEnds } = this.#parts
    const sinceMs = failingSinceMs()
    const known = memory.admitted()
    const admitted = known.map(({ key, ageMs }) => [publicKeyText(key), Math.round(ageMs / 1_000)] as const)
    // What is infinite is null in JSON.
    const budgets = known.flatMap(({ key, budget }) =>
      budget === undefined
        ? []
        : [[publicKeyText(key), [budget.bytesPerSecond, budget.packetsPerSecond]] as const],
    )
    return {
      format: FORMAT,
      startedMs: this.#startedMs,
      backEnds: backEnds(),
      keptAt: new Date().toISOString(),
      ...(sinceMs === undefined ? {} : { failingS: Math.round((performance.now() - sinceMs) / 1_000) }),
      admitted: Object.fromEntries(admitted),
      ...(budgets.length === 0 ? {} : { budgets: Object.fromEntries(budgets) }),
    }
  }
}

/** Undefined if there is no such file, or it is of no use: then it is replaced by the next one. */
function readKept(path: string): Kept | undefined {
  try {
    const content: unknown = JSON.parse(readStateFile(path, BYTES_MAX))
    return isKept(content) ? content : undefined
  } catch {
    return undefined
  }
}

function isKept(content: unknown): content is Kept {
  if (typeof content !== 'object' || content === null) return false
  const { format, startedMs, admitted, budgets = {} } = content as Partial<Record<keyof Kept, unknown>>
  const hasKeys = typeof admitted === 'object' && admitted !== null
  const hasBudgets =
    typeof budgets === 'object' && budgets !== null && Object.values(budgets).every(Array.isArray)
  return format === FORMAT && typeof startedMs === 'number' && hasKeys && hasBudgets
}

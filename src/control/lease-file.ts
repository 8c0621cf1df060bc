// The lease that the relay goes by, and the file that it comes from: read at the start, and again whenever it changes
// (content-file.ts). Looks at the clock once a second, for leases whose time comes or goes. Which lease counts is decided in
// admission/leases.ts. Runs on the control thread.

import { LeaseClock } from '#admission/lease-clock.ts'
import { Leases, type LeaseRules } from '#admission/leases.ts'
import { readFileText } from '#config/file-text.ts'
import type { LeaseSettings } from '#config/settings.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import { LEASE_BYTES_MAX, timeText, type Lease } from '#protocol/lease.ts'
import { ContentFile, type FileReload } from './content-file.ts'
import { LeaseMemory } from './lease-memory.ts'

const LOOK_MS = 1_000
/** In the last part of its time, a lease should have been replaced. */
const LAST_PART = 0.1

export interface LeaseFileParts {
  readonly log: Log
  readonly reloads: Reloads
  /** Undefined without a state folder that the relay can use. */
  readonly stateFolder: string | undefined
  /** What leases say from now on; undefined: there are none. */
  readonly onLeases: (leases: LeaseRules | undefined) => void
  /** What they say is another from now on: of whom, or because time has jumped. */
  readonly onChange: () => void
  readonly clock?: LeaseClock
}

/** For metrics and readiness. */
export interface LeaseNumbers {
  readonly serial: number
  readonly keys: number
  /** Unix milliseconds. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Zero or less: it has ended. */
  readonly leftMs: number
}

export class LeaseFile {
  readonly #parts: LeaseFileParts
  readonly #memory: LeaseMemory | undefined
  readonly #clock: LeaseClock
  #source: LeaseSettings | undefined = undefined
  #leases: Leases | undefined = undefined
  #file: ContentFile | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  /** When what the file has now may be used; undefined if it is in use, or is refused for good. */
  #earlyUntilMs: number | undefined = undefined
  /** What was said of the lease in use. */
  #told: 'nothing' | 'ending' | 'ended' = 'nothing'
  #isStarted = false

  constructor(parts: LeaseFileParts) {
    this.#parts = parts
    const { stateFolder, log } = parts
    this.#memory = stateFolder === undefined ? undefined : new LeaseMemory(stateFolder, log)
    this.#clock =
      parts.clock ?? new LeaseClock({ wall: () => Date.now(), monotonic: () => performance.now() })
  }

  /** The file and the keys from now on; undefined: there are no leases. */
  setSource(source: LeaseSettings | undefined): void {
    if (source?.path === this.#source?.path && source?.keys.join() === this.#source?.keys.join()) return
    this.#source = source
    this.#file?.stop()
    this.#file = undefined
    this.#leases = undefined
    this.#earlyUntilMs = undefined
    this.#told = 'nothing'
    if (source !== undefined) this.#open(source)
    this.#parts.onLeases(this.#leases)
  }

  #open({ path, keys }: LeaseSettings): void {
    const { log, reloads } = this.#parts
    const kept = this.#memory?.read()
    this.#leases = new Leases(keys, kept?.serials ?? new Map(), () => this.#clock.now())
    if (kept !== undefined && kept.text !== '') this.#leases.resume(kept.text)
    if (this.#leases.lease !== undefined) this.#clock.isAfter(this.#leases.lease.notBeforeMs)
    this.#file = new ContentFile({
      path,
      option: 'lease-file',
      bytesMax: LEASE_BYTES_MAX,
      refused: LogEvent.leaseRejected,
      use: (_, text) => this.#use(path, text),
      log,
      reloads,
    })
    const read = readFileText(path)
    // What is wrong with it is told at the first look.
    if ('text' in read) this.#use(path, read.text)
    if (this.#isStarted) this.#file.start()
  }

  /** Undefined if there is no lease. */
  get numbers(): LeaseNumbers | undefined {
    const lease = this.#leases?.lease
    if (lease === undefined) return undefined
    const { serial, notBeforeMs, notAfterMs, entries } = lease
    return { serial, keys: entries.size, notBeforeMs, notAfterMs, leftMs: notAfterMs - this.#clock.now() }
  }

  /** For people. */
  get text(): string {
    if (this.#source === undefined) return 'no lease'
    const { numbers } = this
    if (numbers === undefined) return `${this.#source.path} has no lease that is valid`
    const ends = timeText(numbers.notAfterMs)
    return numbers.leftMs > 0
      ? `lease ${numbers.serial} with ${numbers.keys} keys until ${ends}`
      : `lease ${numbers.serial} has ended at ${ends}`
  }

  start(): void {
    this.#isStarted = true
    this.#file?.start()
    this.#timer = setInterval(() => this.look(), LOOK_MS)
    this.#timer.unref()
  }

  async reload(): Promise<readonly FileReload[]> {
    return this.#file === undefined ? [] : [await this.#file.reload()]
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#file?.stop()
  }

  /** Once a second. */
  look(): void {
    const { log, onChange } = this.#parts
    const aheadSeconds = Math.round(this.#clock.aheadMs / 1_000)
    const found = this.#clock.look()
    if (this.#leases === undefined) return
    if (found === 'jumped') log.warn(LogEvent.clockJumped, { seconds: aheadSeconds })
    if (found === 'followed') {
      log.warn(LogEvent.clockFollowed, { seconds: aheadSeconds })
      onChange()
    }
    if (this.#clock.now() >= (this.#earlyUntilMs ?? Infinity)) {
      this.#earlyUntilMs = undefined
      this.#file?.again()
    }
    this.#tellOfEnd(this.#leases.lease)
  }

  #tellOfEnd(lease: Lease | undefined): void {
    if (lease === undefined) return
    const { serial, notBeforeMs, notAfterMs } = lease
    const leftMs = notAfterMs - this.#clock.now()
    const tells =
      leftMs <= 0 ? 'ended' : leftMs < LAST_PART * (notAfterMs - notBeforeMs) ? 'ending' : 'nothing'
    if (tells === this.#told) return
    this.#told = tells
    const facts = { path: this.#source?.path, serial, notAfter: timeText(notAfterMs) }
    if (tells === 'ending') this.#parts.log.warn(LogEvent.leaseEnding, facts)
    if (tells === 'ended') this.#parts.log.warn(LogEvent.leaseEnded, facts)
  }

  #use(path: string, text: string): readonly string[] {
    const offer = this.#leases?.offer(text) ?? { kind: 'same' as const }
    this.#earlyUntilMs = offer.kind === 'early' ? offer.fromMs : undefined
    if (offer.kind === 'same') return []
    if (offer.kind !== 'used') return [`${path} ${offer.problem}`]
    const { lease } = offer
    this.#clock.isAfter(lease.notBeforeMs)
    this.#memory?.keep(text, this.#leases?.serials ?? new Map())
    if (this.#isStarted) {
      const { serial, notAfterMs, entries } = lease
      this.#parts.log.info(LogEvent.leaseChanged, {
        path,
        serial,
        keys: entries.size,
        notAfter: timeText(notAfterMs),
      })
      this.#parts.onChange()
    }
    return []
  }
}

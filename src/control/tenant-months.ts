// What this relay has sent to the clients of each tenant in the present month, for those of which the list of keys says how much that
// may be: told in the log at four fifths and when it is over, and if the list wants it, an end to all but their disco messages until
// the month is over. The relay threads add up, this adds up the threads (`relay/tenant-sums.ts`). Kept in the state folder beside
// the relay's own count (month-service.ts), which has all that it sends. Runs on the control thread.
//
// Contract: of two runs of one relay, each adds what it has sent itself. A crash costs ten seconds. Bounded, whatever the list has
// been in this month.

import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { TENANT_MONTHS_MAX } from '#protocol/key-list.ts'
import type { MonthRule } from '#protocol/relay-limits.ts'
import { TENANT_NAME, type TenantRule } from '#protocol/tenant-rule.ts'
import { makeTenantSums, rowOf, type TenantSums } from '#relay/tenant-sums.ts'
import { alarmFields, alarmOf, isDiscoOnly, monthOf, type MonthAlarm } from './month-alarm.ts'
import { MonthFile } from './month-file.ts'
import type { Service } from './service.ts'

const FILE = 'tenant-months.json'
/** Of as many tenants as there may be, fifty bytes each. */
const BYTES_MAX = 131_072
const LOOK_MS = 10_000

export interface TenantMonthsParts {
  /** Undefined without a state folder that the relay can use. */
  readonly folder: string | undefined
  readonly log: Log
  readonly threadCount: number
  /** Unix milliseconds. */
  readonly wall: () => number
  /** From now on clients of these tenants alone, by their numbers in the roster, may send disco messages only. */
  readonly onDiscoOnly: (tenants: readonly number[]) => void
}

/** A roster, as far as it is counted by. */
interface Roster {
  /** In the order of their numbers. */
  readonly names: readonly string[]
  readonly rules: readonly TenantRule[]
}

/** The sums of the threads for one roster. */
interface Edition {
  readonly names: readonly string[]
  readonly rows: readonly Float64Array[]
  /** By number: how much of it has been counted. */
  readonly counted: Float64Array
}

interface Count {
  /** Of all runs in this month, as far as it has been counted. */
  bytes: number
  /** Of this run, what is not in the file. */
  unkeptBytes: number
  alarmed: MonthAlarm
}

/** For operators. */
export interface TenantMonth {
  readonly tenant: string
  readonly sentBytes: number
  readonly limitBytes: number
  readonly over: MonthRule['over']
  readonly alarm: MonthAlarm
}

export class TenantMonths implements Service {
  readonly name = 'tenant months'
  readonly #parts: TenantMonthsParts
  readonly #file: MonthFile | undefined
  #month: string
  /** By the names of tenants, also of those that had a rule earlier in this month. */
  readonly #counts = new Map<string, Count>()
  #rules: ReadonlyMap<string, MonthRule> = new Map()
  #current: Edition | undefined = undefined
  /** Threads may still add to them: they are counted until the next look but one. */
  #old: readonly Edition[] = []
  #isOldSeen = false
  #discoOnly: readonly number[] = []
  /** The names of these. */
  #over: ReadonlySet<string> = new Set()
  #timer: NodeJS.Timeout | undefined = undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: TenantMonthsParts) {
    this.#parts = parts
    this.#file =
      parts.folder === undefined ? undefined : new MonthFile(parts.folder, FILE, BYTES_MAX, parts.log)
    this.#month = monthOf(parts.wall())
    for (const [tenant, bytes] of this.#kept()) this.#countOf(tenant).bytes = bytes
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
    this.look()
  }

  /**
   * The tenants from now on; undefined: there are none. Returns where the threads add up; undefined: nothing is counted. When the
   * threads have been told, `judge` is to be called: tenants have other numbers now.
   */
  use(roster: Roster | undefined): TenantSums | undefined {
    this.#count()
    const { names = [], rules = [] } = roster ?? {}
    if (this.#current !== undefined) {
      this.#old = [...this.#old, this.#current]
      this.#isOldSeen = false
    }
    const before = this.#rules
    const said = names.flatMap((name, at) => {
      const month = rules[at]?.month
      return month === undefined ? [] : [[name, month] as const]
    })
    this.#rules = new Map(said)
    for (const [name, rule] of said)
      if (!isSameRule(before.get(name), rule)) this.#countOf(name).alarmed = 'no'
    if (said.length === 0) {
      this.#current = undefined
      return undefined
    }
    const sums = makeTenantSums(this.#parts.threadCount, names.length)
    const rows = Array.from({ length: sums.threads }, (_, thread) => rowOf(sums, thread))
    this.#current = { names, rows, counted: new Float64Array(names.length + 1) }
    return sums
  }

  /** Counts on, and does what follows. To be called now and then. */
  look(): void {
    this.#count()
    if (this.#isOldSeen) this.#old = []
    this.#isOldSeen = true
    const isNew = [...this.#counts.values()].some(({ unkeptBytes }) => unkeptBytes > 0)
    if (isNew) this.#writing = this.#writing.then(async () => await this.#keep())
    this.judge()
  }

  get month(): string {
    return this.#month
  }

  /** Those of which the list says how much may be sent to them, now; what follows is done. Whoever asks often causes no writing. */
  list(): readonly TenantMonth[] {
    this.#count()
    this.judge()
    return [...this.#rules].map(([tenant, rule]) => {
      const { bytes } = this.#countOf(tenant)
      const { bytesMax: limitBytes, over } = rule
      return { tenant, sentBytes: bytes, limitBytes, over, alarm: alarmOf(bytes, rule) }
    })
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.look()
    await this.#writing
  }

  #count(): void {
    const month = monthOf(this.#parts.wall())
    if (month !== this.#month) {
      this.#month = month
      this.#counts.clear()
    }
    const editions = this.#current === undefined ? this.#old : [...this.#old, this.#current]
    for (const { names, rows, counted } of editions)
      for (const [at, name] of names.entries()) {
        const number = at + 1
        const sum = rows.reduce((bytes, row) => bytes + (row[number] ?? 0), 0)
        const bytes = sum - (counted[number] ?? 0)
        if (bytes <= 0) continue
        counted[number] = sum
        const count = this.#countOf(name)
        count.bytes += bytes
        count.unkeptBytes += bytes
      }
  }

  #countOf(tenant: string): Count {
    const known = this.#counts.get(tenant)
    if (known !== undefined) return known
    const count: Count = { bytes: 0, unkeptBytes: 0, alarmed: 'no' }
    this.#counts.set(tenant, count)
    if (this.#counts.size > 2 * TENANT_MONTHS_MAX) this.#forgetFirst()
    return count
  }

  /** Of tenants without a rule now. */
  #forgetFirst(): void {
    for (const tenant of this.#counts.keys())
      if (!this.#rules.has(tenant)) {
        this.#counts.delete(tenant)
        return
      }
  }

  judge(): void {
    const { log, onDiscoOnly } = this.#parts
    const over = new Set<string>()
    for (const [tenant, rule] of this.#rules) {
      const count = this.#countOf(tenant)
      const alarm = alarmOf(count.bytes, rule)
      if (alarm !== count.alarmed && alarm !== 'no')
        log.warn(LogEvent.monthBytes, { tenant, ...alarmFields(this.#month, count.bytes, rule) })
      count.alarmed = alarm
      if (isDiscoOnly(alarm, rule)) over.add(tenant)
    }
    for (const tenant of this.#over)
      if (!over.has(tenant)) log.info(LogEvent.monthBytesFree, { tenant, month: this.#month })
    this.#over = over
    const discoOnly = (this.#current?.names ?? []).flatMap((name, at) => (over.has(name) ? [at + 1] : []))
    if (discoOnly.join() === this.#discoOnly.join()) return
    this.#discoOnly = discoOnly
    onDiscoOnly(discoOnly)
  }

  /** Of this month in the file; empty if it is of no use. */
  #kept(): ReadonlyMap<string, number> {
    const bytes = this.#file?.read(this.#month)
    if (typeof bytes !== 'object' || bytes === null) return new Map()
    const isUseful = (entry: readonly [string, unknown]): entry is [string, number] =>
      TENANT_NAME.test(entry[0]) && Number.isSafeInteger(entry[1]) && Number(entry[1]) > 0
    return new Map(Object.entries(bytes).filter(isUseful).slice(0, TENANT_MONTHS_MAX))
  }

  /** Adds to what is in the file: another run of this relay may have added to it, too. */
  async #keep(): Promise<void> {
    const added = [...this.#counts].filter(([, { unkeptBytes }]) => unkeptBytes > 0)
    if (this.#file === undefined || added.length === 0) return
    const before = this.#kept()
    const sums = added.map(
      ([tenant, count]) => [tenant, (before.get(tenant) ?? 0) + count.unkeptBytes] as const,
    )
    const all = new Map([...before, ...sums])
    // Those that have a rule now come first, where not all have room.
    const byRule = [...all].toSorted(([a], [b]) => Number(this.#rules.has(b)) - Number(this.#rules.has(a)))
    const bytes = Object.fromEntries(byRule.slice(0, TENANT_MONTHS_MAX))
    const unkept = added.map(([, count]) => [count, count.unkeptBytes] as const)
    for (const [count] of unkept) count.unkeptBytes = 0
    if (await this.#file.replace(this.#month, bytes)) {
      for (const [tenant, count] of added)
        count.bytes = Math.max(count.bytes, (all.get(tenant) ?? 0) + count.unkeptBytes)
    } else for (const [count, unkeptBytes] of unkept) count.unkeptBytes += unkeptBytes
  }
}

function isSameRule(one: MonthRule | undefined, other: MonthRule): boolean {
  return one?.bytesMax === other.bytesMax && one.over === other.over
}

// The bytes of a month of each tenant: over rosters, months, restarts, two runs at once and a file of no use; alarms, and what follows.

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { TenantMonths } from '#control/tenant-months.ts'
import { Log } from '#ops/log.ts'
import { TENANT_MONTHS_MAX } from '#protocol/key-list.ts'
import type { MonthRule } from '#protocol/relay-limits.ts'
import { USUAL_TENANT, type TenantRule } from '#protocol/tenant-rule.ts'
import { rowOf, type TenantSums } from '#relay/tenant-sums.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

interface Line {
  readonly event: string
  readonly tenant: string
  readonly percent?: number
}

type Rules = Readonly<Record<string, MonthRule | undefined>>

const LARGE: MonthRule = { bytesMax: 1e12, over: 'alarm' }
const SMALL: MonthRule = { bytesMax: 1_000, over: 'disco' }

function ruleOf(month: MonthRule | undefined): TenantRule {
  return { ...USUAL_TENANT, month }
}

class Months {
  wallMs = Date.UTC(2026, 10, 27)
  readonly lines: Line[] = []
  readonly told: (readonly number[])[] = []
  readonly months: TenantMonths
  #sums: TenantSums | undefined = undefined
  #names: readonly string[] = []

  constructor(folder: string | undefined, rules: Rules = {}) {
    this.months = new TenantMonths({
      folder,
      log: new Log('info', { write: (line) => this.lines.push(JSON.parse(line) as Line) }),
      threadCount: 2,
      wall: () => this.wallMs,
      onDiscoOnly: (tenants) => this.told.push(tenants),
    })
    this.use(rules)
  }

  /** As when the list of keys has changed. */
  use(rules: Rules): void {
    const said = Object.entries(rules)
    this.#names = said.map(([name]) => name)
    this.#sums = this.months.use({
      names: this.#names,
      rules: said.map(([, month]) => ruleOf(month)),
    })
    this.months.judge()
  }

  /** A thread sends to the clients of a tenant. */
  add(tenant: string, bytes: number, thread = 0): void {
    const row = this.#sums && rowOf(this.#sums, thread)
    const number = 1 + this.#names.indexOf(tenant)
    if (row !== undefined) row[number] = bytes + (row[number] ?? 0)
  }

  /** As threads do that have not heard of the roster yet. */
  addLate(tenant: string, bytes: number): () => void {
    const row = this.#sums && rowOf(this.#sums, 0)
    const number = 1 + this.#names.indexOf(tenant)
    return () => {
      if (row !== undefined) row[number] = bytes + (row[number] ?? 0)
    }
  }

  get shown(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.months.list().map(({ tenant, sentBytes }) => [tenant, sentBytes]))
  }

  get events(): readonly string[] {
    return this.lines.map(({ event, tenant, percent }) => `${tenant} ${event} ${percent ?? ''}`.trimEnd())
  }
}

it('adds up the threads, for tenants that have a rule', () => {
  const months = new Months(undefined, { blue: LARGE, red: LARGE, gray: undefined })
  months.add('blue', 5)
  months.add('blue', 7, 1)
  months.add('red', 3, 1)
  expect(months.shown).toEqual({ blue: 12, red: 3 })
  months.add('red', 1)
  expect(months.shown).toEqual({ blue: 12, red: 4 })
})

it('a change of the list loses nothing, not what threads add before they have heard of it', () => {
  const months = new Months(undefined, { blue: LARGE, red: LARGE })
  months.add('red', 3)
  const late = months.addLate('red', 4)
  months.use({ red: LARGE, blue: LARGE })
  months.months.look()
  late()
  months.add('red', 5)
  months.months.look()
  expect(months.shown).toEqual({ red: 12, blue: 0 })
  // A tenant that comes back in the same month goes on where it was.
  months.use({ blue: LARGE })
  months.use({ blue: LARGE, red: LARGE })
  expect(months.shown).toEqual({ blue: 0, red: 12 })
})

it('counts over restarts, and two runs at once each add their own', async () => {
  using folder = new TemporaryFolder()
  const rules = { blue: LARGE, red: LARGE }
  const first = new Months(folder.path, rules)
  first.add('blue', 1_000)
  await first.months.stop()
  const second = new Months(folder.path, rules)
  second.add('blue', 500)
  second.add('red', 1)
  expect(second.shown).toEqual({ blue: 1_500, red: 1 })
  await second.months.stop()
  first.add('blue', 70)
  await first.months.stop()
  second.add('blue', 7)
  await second.months.stop()
  expect(second.shown).toEqual({ blue: 1_577, red: 1 })
  expect(new Months(folder.path, rules).shown).toEqual({ blue: 1_577, red: 1 })
})

it('there is an alarm at four fifths and at the end, with the name, and one that is over is told of by its number', () => {
  const months = new Months(undefined, { blue: LARGE, red: SMALL })
  months.add('blue', 5e11)
  for (let n = 0; n < 12; n++) {
    months.add('red', 100)
    months.months.look()
  }
  expect(months.events).toEqual(['red month_bytes 80', 'red month_bytes 100'])
  expect(months.told).toEqual([[2]])
  // In another roster it has another number; one of those that were over then is not over now.
  months.use({ red: SMALL })
  expect(months.told).toEqual([[2], [1]])
  months.use({ blue: SMALL, red: LARGE })
  expect(months.events.slice(2)).toEqual(['blue month_bytes 50000000000', 'red month_bytes_free'])
  months.use({})
  expect(months.told.at(-1)).toEqual([])
})

it('a month begins at zero, and whoever was over may send again', async () => {
  using folder = new TemporaryFolder()
  const months = new Months(folder.path, { red: SMALL })
  months.add('red', 2_000)
  await months.months.stop()
  months.wallMs = Date.UTC(2026, 11, 1)
  months.add('red', 3)
  expect([months.shown, months.told]).toEqual([{ red: 3 }, [[1], []]])
  await months.months.stop()
  expect(readFileSync(folder.at('tenant-months.json'), 'utf8')).toBe(
    '{"format":1,"month":"2026-12","bytes":{"red":3}}\n',
  )
})

it.each([
  ['nothing', ''],
  ['a later format', '{"format":2,"month":"2026-11","bytes":{"red":7}}'],
  ['another month', '{"format":1,"month":"2026-10","bytes":{"red":7}}'],
  [
    'other values',
    '{"format":1,"month":"2026-11","bytes":{"red":"7","__proto__":{"red":7},"a b":7,"blue":-7}}',
  ],
  ['null', '{"format":1,"month":"2026-11","bytes":null}'],
])('a file with %s is passed over and replaced', async (_what, text) => {
  using folder = new TemporaryFolder()
  writeFileSync(folder.at('tenant-months.json'), text)
  const months = new Months(folder.path, { red: LARGE })
  months.add('red', 5)
  expect(months.shown).toEqual({ red: 5 })
  await months.months.stop()
  expect(new Months(folder.path, { red: LARGE }).shown).toEqual({ red: 5 })
})

it('as many tenants as there may be fit into the file, and those that have a rule are kept', async () => {
  using folder = new TemporaryFolder()
  const rules = (from: string): Rules =>
    Object.fromEntries(
      Array.from({ length: TENANT_MONTHS_MAX }, (_, n) => [`${from}-${n}`.padEnd(32, 'x'), LARGE]),
    )
  const months = new Months(folder.path)
  for (const from of ['old', 'new', 'newest']) {
    months.use(rules(from))
    for (const name of Object.keys(rules(from))) months.add(name, 900_000_000_000_000)
    months.months.look()
  }
  await months.months.stop()
  const later = new Months(folder.path, rules('newest'))
  expect(new Set(Object.values(later.shown))).toEqual(new Set([900_000_000_000_000]))
  expect(Object.keys(later.shown)).toHaveLength(TENANT_MONTHS_MAX)
})

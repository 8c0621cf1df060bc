// The bytes of a month: over months, restarts, two runs at once and a file of no use; alarms, and what follows when they are used up.

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { MonthService } from '#control/month-service.ts'
import { Log } from '#ops/log.ts'
import { NO_MONTH_RULE, type MonthRule } from '#protocol/relay-limits.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

interface Line {
  readonly event: string
  readonly percent?: number
}

class Month {
  sent = 0
  wallMs = Date.UTC(2026, 10, 27)
  readonly lines: Line[] = []
  readonly modes: boolean[] = []
  readonly service: MonthService

  constructor(folder: string | undefined, rule: Partial<MonthRule> = {}, sent = 0) {
    this.service = new MonthService({
      folder,
      log: new Log('info', { write: (line) => this.lines.push(JSON.parse(line) as Line) }),
      rule: { ...NO_MONTH_RULE, ...rule },
      sentBytes: () => this.sent,
      wall: () => this.wallMs,
      onDiscoOnly: (isDiscoOnly) => this.modes.push(isDiscoOnly),
    })
    this.send(sent)
  }

  send(bytes: number): void {
    this.sent += bytes
    this.service.look()
  }

  get shown(): number {
    return this.service.bytes
  }

  get events(): readonly string[] {
    return this.lines.map(({ event, percent }) => (percent === undefined ? event : `${event} ${percent}`))
  }
}

it('counts over restarts, and two runs at once each add their own', async () => {
  using folder = new TemporaryFolder()
  const first = new Month(folder.path, {}, 1_000)
  await first.service.stop()
  const second = new Month(folder.path, {}, 500)
  expect(second.shown).toBe(1_500)
  await second.service.stop()
  first.send(70)
  await first.service.stop()
  second.send(7)
  await second.service.stop()
  expect(second.shown).toBe(1_577)
  expect(new Month(folder.path).shown).toBe(1_577)
})

it('a month begins at zero', async () => {
  using folder = new TemporaryFolder()
  const month = new Month(folder.path, { bytesMax: 1_000, over: 'disco' }, 1_000)
  expect(month.modes).toEqual([true])
  await month.service.stop()
  month.wallMs = Date.UTC(2026, 11, 1)
  month.send(3)
  expect([month.shown, month.modes]).toEqual([3, [true, false]])
  expect(month.events).toEqual(['month_bytes 100', 'month_bytes_free'])
  await month.service.stop()
  expect(readFileSync(folder.at('month.json'), 'utf8')).toBe('{"format":1,"month":"2026-12","bytes":3}\n')
})

it('there is an alarm at four fifths and at the end, once each; without another policy everything is relayed', () => {
  const month = new Month(undefined, { bytesMax: 1_000 })
  for (let n = 0; n < 20; n++) month.send(100)
  expect(month.events).toEqual(['month_bytes 80', 'month_bytes 100'])
  expect(month.modes).toEqual([])
})

it('another rule counts at once', () => {
  const month = new Month(undefined, { bytesMax: 1_000, over: 'disco' }, 2_000)
  month.service.setRule({ bytesMax: 3_000, over: 'disco' })
  month.service.setRule({ bytesMax: 1_500, over: 'disco' })
  month.service.setRule({ bytesMax: 1_500, over: 'alarm' })
  expect(month.modes).toEqual([true, false, true, false])
})

it.each([
  ['nothing', ''],
  ['a later format', '{"format":2,"month":"2026-11","bytes":7}'],
  ['another month', '{"format":1,"month":"2026-10","bytes":7}'],
  ['no number', '{"format":1,"month":"2026-11","bytes":"7"}'],
  ['less than nothing', '{"format":1,"month":"2026-11","bytes":-7}'],
  ['null', 'null'],
])('a file with %s is passed over and replaced', async (_what, text) => {
  using folder = new TemporaryFolder()
  writeFileSync(folder.at('month.json'), text)
  const month = new Month(folder.path, {}, 5)
  expect(month.shown).toBe(5)
  await month.service.stop()
  expect(new Month(folder.path).shown).toBe(5)
})

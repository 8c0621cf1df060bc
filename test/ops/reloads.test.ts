import { expect, it } from 'vitest'
import { Log } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'

it('exports whether and since when the content of a file is in use, and logs a recovery once', () => {
  const events: unknown[] = []
  const log = new Log('info', {
    write: (line) => events.push((JSON.parse(line) as { event: unknown }).event),
  })
  let nowMs = 1_000_000
  const reloads = new Reloads(log, () => nowMs)
  const values = (): number[] =>
    reloads.families().flatMap(({ samples }) => samples.map(({ value }) => value))
  expect(values()).toEqual([])
  reloads.accepted('regions-file', 'regions.yaml')
  nowMs = 2_000_000
  for (let times = 0; times < 3; times++) reloads.rejected('regions-file')
  expect(values()).toEqual([0, 1_000])
  expect(events).toEqual([])
  for (let times = 0; times < 3; times++) reloads.accepted('regions-file', 'regions.yaml')
  expect(values()).toEqual([1, 2_000])
  expect(events).toEqual(['file_usable_again'])
})

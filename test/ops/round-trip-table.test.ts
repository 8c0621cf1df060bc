import { expect, it } from 'vitest'
import { RoundTripTable } from '#ops/round-trip-table.ts'

/** What a label's series show: cumulative buckets, sum and count. */
function seriesOf(table: RoundTripTable, label: string): Record<string, number> {
  const own = table.samples('country').filter(({ labels }) => labels.country === label)
  return Object.fromEntries(own.map(({ suffix, labels, value }) => [`${suffix} ${labels.le ?? ''}`, value]))
}

it('counts round trips by label, from the start on', () => {
  const table = new RoundTripTable(10)
  for (const seconds of [0.01, 0.025, 0.03, 0.15, 3]) table.observe('DE', seconds)
  table.observe('NZ', 0.3)
  table.endMinute()
  expect(seriesOf(table, 'DE')).toEqual({
    '_bucket 0.025': 2,
    '_bucket 0.05': 3,
    '_bucket 0.1': 3,
    '_bucket 0.2': 4,
    '_bucket +Inf': 5,
    '_sum ': 0.01 + 0.025 + 0.03 + 0.15 + 3,
    '_count ': 5,
  })
  expect(seriesOf(table, 'NZ')).toMatchObject({ '_bucket 0.2': 0, '_count ': 1 })
})

it.each([0.3, 4, 11, 48, 97, 230, 1_500])('knows a median of %f ms to five percent', (ms) => {
  const table = new RoundTripTable(10)
  for (let n = -50; n <= 50; n++) table.observe('DE', (ms * (1 + n / 200)) / 1_000)
  const [{ medianMs } = { medianMs: 0 }] = table.numbers()
  expect(Math.abs(medianMs - ms) / ms).toBeLessThan(0.05)
})

it('numbers cover the last whole minute, and the first one while it lasts', () => {
  const table = new RoundTripTable(10)
  table.observe('DE', 0.04)
  table.observe('FR', 0.02)
  table.observe('FR', 0.02)
  expect(table.numbers()).toMatchObject([
    { label: 'FR', clients: 2 },
    { label: 'DE', clients: 1 },
  ])
  table.endMinute()
  table.observe('DE', 0.09)
  expect(table.numbers()).toHaveLength(2)
  table.endMinute()
  const numbers = table.numbers()
  expect(numbers).toMatchObject([{ label: 'DE', clients: 1 }])
  expect(Math.abs((numbers[0]?.medianMs ?? 0) - 90)).toBeLessThan(4.5)
  table.endMinute()
  expect(table.numbers()).toEqual([])
})

it('labels beyond the limit count as other', () => {
  const table = new RoundTripTable(3)
  for (let n = 0; n < 50; n++) table.observe(`label ${n}`, 0.01)
  table.observe('label 1', 0.01)
  const counts = table.numbers().map(({ label, clients }) => [label, clients])
  expect(counts).toEqual([
    ['other', 47],
    ['label 1', 2],
    ['label 0', 1],
    ['label 2', 1],
  ])
})

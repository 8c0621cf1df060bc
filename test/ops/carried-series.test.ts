import { expect, it } from 'vitest'
import { CarriedSeries } from '#ops/carried-series.ts'
import { sample, type MetricFamily, type Sample } from '#ops/metric-family.ts'

const counter = (name: string, ...samples: Sample[]): MetricFamily => ({
  name,
  type: 'counter',
  help: '',
  samples,
})
const gauge = (name: string, ...samples: Sample[]): MetricFamily => ({
  name,
  type: 'gauge',
  help: '',
  samples,
})
const bySibling = (name: string, value: number): Sample => sample(value, { sibling: name, region: 'own' })

/** What the next run shows, of what it has counted itself. */
function next(earlier: readonly MetricFamily[], own: readonly MetricFamily[]): MetricFamily[] {
  const carried = new CarriedSeries()
  carried.restore(JSON.parse(JSON.stringify(CarriedSeries.snapshot(earlier))) as Record<string, number>)
  return carried.addTo(own)
}

it('counters go on, each with its labels, over any number of runs', () => {
  const earlier = [
    counter('packets_total', bySibling('a', 5), bySibling('b', 7)),
    counter('lines_total', sample(3)),
  ]
  const own = [
    counter('packets_total', bySibling('b', 10), bySibling('c', 20)),
    counter('lines_total', sample(1)),
  ]
  const second = next(earlier, own)
  expect(second).toEqual([
    counter('packets_total', bySibling('b', 17), bySibling('c', 20)),
    counter('lines_total', sample(4)),
  ])
  expect(next(second, [counter('lines_total', sample(0))])).toEqual([counter('lines_total', sample(4))])
})

it('the order of labels does not matter', () => {
  const earlier = [counter('packets_total', sample(5, { region: 'own', sibling: 'a' }))]
  expect(next(earlier, [counter('packets_total', bySibling('a', 1))])).toEqual([
    counter('packets_total', bySibling('a', 6)),
  ])
})

it('a sibling that this run reaches later has its count from then on', () => {
  const carried = new CarriedSeries()
  carried.restore(CarriedSeries.snapshot([counter('packets_total', bySibling('a', 5))]))
  expect(carried.addTo([counter('packets_total')])).toEqual([counter('packets_total')])
  expect(carried.addTo([counter('packets_total', bySibling('a', 1))])).toEqual([
    counter('packets_total', bySibling('a', 6)),
  ])
})

it('gauges are what they are now', () => {
  expect(next([gauge('keys', sample(9))], [gauge('keys', sample(2))])).toEqual([gauge('keys', sample(2))])
})

it('a counter does not fall, whatever an earlier run says', () => {
  const carried = new CarriedSeries()
  carried.restore({ 'series lines_total []': -5 })
  expect(carried.addTo([counter('lines_total', sample(3))])).toEqual([counter('lines_total', sample(3))])
})

it('a snapshot is bounded, however many siblings there are', () => {
  const many = Array.from({ length: 5_000 }, (_, n) => bySibling(`relay-${n}.example.com`, n + 1))
  const snapshot = CarriedSeries.snapshot([counter('packets_total', ...many)])
  expect(JSON.stringify(snapshot).length).toBeLessThan(200_000)
  expect(Object.keys(snapshot).length).toBeGreaterThan(1_000)
})

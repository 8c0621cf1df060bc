// How many series a relay of a large fleet has: each costs memory and time in the Prometheus of its operator.

import { expect, it } from 'vitest'
import { ClientQuality } from '#ops/client-quality.ts'
import { writeExposition } from '#ops/exposition.ts'
import { Metrics } from '#ops/metrics.ts'
import { qualityFamilies } from '#ops/relay-quality.ts'
import { Counters } from '#relay/counters.ts'
import { QUALITY, SIBLING, testSources } from './sources.ts'
import { allSeries, parseClassic } from './strict-exposition.ts'

const SERIES_MAX = 5_000
const RELAYS = 100
const THREADS = 4

it('at a hundred relays, each a region, and 250 countries: 5,000 at most', async () => {
  const clients = new ClientQuality()
  const letters = Array.from({ length: 26 }, (_, n) => String.fromCharCode(65 + n))
  const countries = letters.flatMap((first) => letters.map((second) => first + second))
  // More of both than there are, as a hostile table or file could name them.
  for (const [n, country] of countries.entries()) {
    clients.roundTrip({ seconds: 0.02, homeRegion: String(900 + (n % 300)), isHome: false, country })
    clients.stunRequest(country, 1)
  }
  clients.roundTrip({ seconds: 0.02, homeRegion: undefined, isHome: false, country: undefined })
  const siblings = Array.from({ length: RELAYS - 1 }, (_, n) => ({ ...SIBLING, name: `derp${n}.example` }))
  const sources = testSources({
    siblings: () => siblings,
    quality: () => [...qualityFamilies({ ...QUALITY, siblings }), ...clients.families()],
    threads: Array.from({ length: THREADS }, () => new Counters()),
    threadLoops: () => Array.from({ length: THREADS }, () => ({ activeMs: 1, idleMs: 1 })),
    threadDeaths: () => Array.from({ length: THREADS }, () => 0),
  })
  const series = allSeries(parseClassic(writeExposition(await new Metrics(sources).families(), 'classic')))
  const byFamily = Map.groupBy(series.keys(), (name) =>
    name.replace(/_(?:bucket|sum|count)?(?:\{.*)?$|\{.*$/, ''),
  )
  const largest = [...byFamily]
    .map(([name, { length }]) => [name, length] as const)
    .sort((a, b) => b[1] - a[1])
  expect(series.size, JSON.stringify(largest.slice(0, 8))).toBeLessThanOrEqual(SERIES_MAX)
  // All that is to be bounded was there to be counted.
  expect([...series.keys()].filter((name) => /by_country_seconds_count/.test(name)).length).toBe(251)
  expect([...series.keys()].filter((name) => /by_region_seconds_count/.test(name)).length).toBe(101)
})

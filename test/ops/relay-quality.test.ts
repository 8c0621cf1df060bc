import { expect, it } from 'vitest'
import { headroomOf, qualityFamilies, qualityJson, type RelayQuality } from '#ops/relay-quality.ts'
import { QUALITY } from './sources.ts'

function values(quality: RelayQuality): Record<string, number> {
  const samples = qualityFamilies(quality).flatMap(({ name, samples }) =>
    samples.map(({ labels, value }): [string, number] => [`${name} ${labels.limit ?? ''}`.trim(), value]),
  )
  return Object.fromEntries(samples)
}

it('every metric shows its number', () => {
  expect(values(QUALITY)).toEqual({
    derp_countries_known: 1,
    derp_throughput_bytes_per_second: 12_500_000,
    derp_throughput_packets_per_second: 10_000,
    derp_throughput_peak_bytes_per_second: 25_000_000,
    derp_throughput_peak_packets_per_second: 20_000,
    'derp_headroom_ratio threads': 0.9,
    'derp_headroom_ratio capacity': 0.75,
    derp_thread_packets_max_per_second: 100_000,
  })
})

it('the headroom is the smallest that is known, and never below zero', () => {
  expect(headroomOf(QUALITY)).toEqual({ threads: 0.9, capacity: 0.75, least: 0.75 })
  expect(headroomOf({ ...QUALITY, capacityBits: 1_000_000 }).least).toBe(0)
  expect(headroomOf({ ...QUALITY, capacityBits: undefined }).least).toBe(0.9)
  const unknown = { ...QUALITY, capacityBits: undefined, threads: undefined }
  expect(headroomOf(unknown).least).toBe(undefined)
  expect(Object.keys(values(unknown)).join(' ')).not.toMatch(/headroom|packets_max/)
})

it('as JSON, what is not known is null', () => {
  const sibling = { ...QUALITY.siblings[0], rttMinMs: undefined } as RelayQuality['siblings'][number]
  const value = JSON.parse(qualityJson({ ...QUALITY, siblings: [sibling], threads: undefined }))
  expect(value).toMatchObject({
    links: [{ sibling: 'derp2.example', isUp: true, rttMinMs: null, rttMedianMs: 12.4, queueDelayMs: 0.2 }],
    clients: { byCountry: [{ label: 'DE', clients: 1 }], stunRequests: { DE: 2 } },
    headroom: { threads: null, capacity: 0.75, least: 0.75, threadLoad: null },
  })
})

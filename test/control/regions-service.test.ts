// The answers of a relay to which region is nearest: as pages over HTTP, from a fleet's state; and how often they are made.

import { describe, expect, it } from 'vitest'
import { RegionsService } from '#control/regions-service.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { FleetState } from '#fleet/fleet-state.ts'
import type { Region } from '#fleet/region.ts'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import { Health } from '#ops/health.ts'
import { Log } from '#ops/log.ts'
import { Metrics } from '#ops/metrics.ts'
import { Varz } from '#ops/varz.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { QUALITY, testSources } from '../ops/sources.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'
import { stateOf } from '../support/relay-states.ts'

const FILE: readonly Region[] = [
  {
    id: 900,
    code: 'fra',
    name: 'Frankfurt',
    latitude: 50,
    longitude: 9,
    nodes: [{ name: '900a', hostname: 'a.lab' }],
  },
  {
    id: 901,
    code: 'nyc',
    name: 'New York',
    latitude: 41,
    longitude: -74,
    nodes: [{ name: '901a', hostname: 'b.lab' }],
  },
]
const COUNTRY_OF: Readonly<Record<string, string>> = { '192.0.2.1': 'DE', '2001:db8::1': 'US' }

interface Ranking {
  readonly country: string | null
  readonly regions: readonly {
    readonly code: string
    readonly reason: string
    readonly roundTripMs?: number
  }[]
}

function makeFleet(): FleetState {
  const own = stateOf('900a', {
    clients: {
      isKnown: true,
      countries: [{ country: 'DE', clients: 50, medianMs: 21, homeClients: 40, homeMedianMs: 20 }],
    },
  })
  const fleet = new FleetState({ now: () => 0, ownKey: own.key })
  fleet.setRelays([
    { name: 'a.lab', nodes: ['900a'], isOwn: true },
    { name: 'b.lab', nodes: ['901a'], isOwn: false },
  ])
  fleet.takeOwn(own)
  return fleet
}

it('answers for the asking client, or for an address, and refuses what is none', async () => {
  const fleet = makeFleet()
  const asked: string[] = []
  const regions = new RegionsService({
    regions: () => FILE,
    fleet: () => fleet,
    countryOf: async (ip) => {
      asked.push(ipToText(ip))
      return COUNTRY_OF[ipToText(ip)]
    },
    now: () => 0,
  })
  const sources = testSources({})
  const pages = new AdminPages({
    metrics: new Metrics(sources),
    varz: new Varz(sources),
    health: new Health([]),
    fleet: () => '{}',
    quality: () => QUALITY,
    regions,
    version: '1',
  })
  const log = new Log('error', { write: () => undefined })
  const server = new AdminServer({ host: '127.0.0.1', port: 0 }, pages, log)
  const base = `http://127.0.0.1:${(await server.start()).port}`
  const ranking = async (query: string): Promise<Ranking> =>
    (await (await fetch(`${base}/regions${query}`)).json()) as Ranking
  try {
    const germany = await ranking('?ip=192.0.2.1')
    expect(germany.country).toBe('DE')
    expect(germany.regions.map(({ code, reason }) => [code, reason])).toEqual([
      ['fra', 'measured'],
      ['nyc', 'distance'],
    ])
    expect((await ranking('?ip=2001:db8::1')).regions.map(({ code }) => code)).toEqual(['nyc', 'fra'])
    const own = await ranking('')
    expect([own.country, own.regions.map(({ reason }) => reason)]).toEqual([null, ['unknown', 'unknown']])
    expect(asked).toEqual(['192.0.2.1', '2001:db8::1', '127.0.0.1'])
    for (const ip of ['', 'example.com', '1.2.3', '<script>', '1'.repeat(1_000)]) {
      const answer = await fetch(`${base}/regions?ip=${encodeURIComponent(ip)}`)
      expect([answer.status, await answer.text()]).toEqual([
        400,
        expect.stringContaining('expected one like'),
      ])
    }
    const numbers = (await (await fetch(`${base}/fleet/regions`)).json()) as { regions: readonly object[] }
    expect(numbers.regions).toMatchObject([
      { id: 900, hasCountries: true, homeClients: 10, countries: [{ country: 'DE', homeClients: 40 }] },
      { id: 901, hasCountries: false, relaysHeard: 0 },
    ])
  } finally {
    await server.close()
  }
})

it('looks at the fleet once a second at most, and at another file at once', async () => {
  const fleet = makeFleet()
  let [looks, nowMs, file] = [0, 0, FILE]
  const regions = new RegionsService({
    regions: () => file,
    fleet: () => {
      looks++
      return fleet
    },
    countryOf: async () => await Promise.resolve('DE'),
    now: () => nowMs,
  })
  const first = await regions.rankingFor('192.0.2.1')
  for (let n = 0; n < 1_000; n++) expect(await regions.rankingFor('192.0.2.1')).toBe(first)
  expect(looks).toBe(1)
  nowMs = 1_000
  expect(await regions.rankingFor('192.0.2.1')).toEqual(first)
  expect(looks).toBe(2)
  file = FILE.slice(1)
  expect(await regions.rankingFor('192.0.2.1')).not.toContain('Frankfurt')
  expect(regions.numbers()).not.toContain('Frankfurt')
  expect(looks).toBe(3)
})

it('tells everyone no counts', async () => {
  const fleet = makeFleet()
  const regions = new RegionsService({
    regions: () => FILE,
    fleet: () => fleet,
    countryOf: async () => await Promise.resolve('DE'),
    now: () => 0,
  })
  expect(await regions.rankingFor('192.0.2.1')).toContain('"clients":50')
  const told = await regions.publicRankingFor(new Uint8Array(16))
  expect(told).not.toMatch(/clients|model|pairs/)
  expect(JSON.parse(told)).toMatchObject({
    country: 'DE',
    regions: [{ code: 'fra', roundTripMs: 21 }, { code: 'nyc' }],
  })
})

describe('on the DERP port', () => {
  const REGIONS =
    'regions:\n  900: { code: fra, latitude: 50, longitude: 9, nodes: [{ name: 900a, hostname: localhost }] }\n'

  async function relayWith(folder: TemporaryFolder, isRankingServed: boolean): Promise<LiveRelay> {
    const path = folder.write('regions.yaml', REGIONS)
    const read = readRegionsFile(path, REGIONS)
    return await LiveRelay.start({
      certificate: undefined,
      meshKeys: [MESH_KEY],
      mesh: { ...NO_MESH, regionsPath: path, regions: 'regions' in read ? read.regions : [] },
      measure: { countries: false, isRankingServed, capacityBits: undefined },
    })
  }

  it('the ranking is for those who ask, and a flood of them is told to come back', async () => {
    using folder = new TemporaryFolder()
    await using relay = await relayWith(folder, true)
    const url = `http://127.0.0.1:${relay.port}/regions`
    const answer = await fetch(url)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(await answer.json()).toMatchObject({
      country: null,
      regions: [{ rank: 1, code: 'fra', reason: 'unknown' }],
    })
    expect((await fetch(`${url}?ip=192.0.2.1`)).status).toBe(400)
    expect((await fetch(url, { method: 'POST' })).status).toBe(405)
    const statuses = await Promise.all(Array.from({ length: 300 }, async () => (await fetch(url)).status))
    expect(new Set(statuses)).toEqual(new Set([200, 503]))
    // A client is not in its way.
    const [alice, bob] = [await relay.client(), await relay.client()]
    const received = bob.next('packet')
    alice.send(bob.publicKey, Buffer.from('still here'))
    await received
  })

  it('there is none unless the operator says so', async () => {
    using folder = new TemporaryFolder()
    await using relay = await relayWith(folder, false)
    const answer = await fetch(`http://127.0.0.1:${relay.port}/regions`)
    expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining('-serve-regions')])
  })
})

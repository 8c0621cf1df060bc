// What a live relay measures: of its clients, by TCP_INFO and by the presence of two regions, of itself, and as one value.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { QualityService } from '#control/quality-service.ts'
import { CountryLookup } from '#control/country-lookup.ts'
import { LinkWatch } from '#ops/link-watch.ts'
import { Log } from '#ops/log.ts'
import { ipToBytes, IP_BYTES } from '#protocol/ip-address.ts'
import { HOME_HERE } from '#worker/round-trip-batch.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'
import { freePort } from '../support/process.ts'

const patiently = { timeout: 30_000, interval: 200 }
const anyPort = { host: '127.0.0.1', port: 0 }
const folder = mkdtempSync(join(tmpdir(), 'quality-'))
let certificate: Certificate

beforeAll(async () => {
  certificate = await makeCertificate(folder, 'localhost')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Value {
  readonly links: readonly { readonly sibling: string; readonly rttMedianMs: number | null }[]
  readonly clients: {
    readonly byHomeRegion: readonly {
      readonly label: string
      readonly clients: number
      readonly medianMs: number
    }[]
    readonly byCountry: readonly { readonly label: string }[]
    readonly stunRequests: Readonly<Record<string, number>>
  }
  readonly throughput: { readonly packetsPerSecond: number; readonly peakPacketsPerSecond: number }
  readonly headroom: { readonly threads: number | null; readonly capacity: number | null }
}

async function valueOf(relay: LiveRelay): Promise<Value> {
  return JSON.parse(await relay.page('/quality')) as Value
}

/** Countries of clients at home at a relay, as another relay knows them. */
async function homesToldOf(
  relay: LiveRelay,
  node: string,
): Promise<readonly { readonly country: string }[] | undefined> {
  const { relays } = JSON.parse(await relay.page('/fleet')) as {
    readonly relays: readonly {
      readonly nodes: readonly string[]
      readonly last?: {
        readonly clients?: {
          readonly countries: readonly { readonly country: string; readonly homeClients: number }[]
        }
      }
    }[]
  }
  const told = relays.find(({ nodes }) => nodes.includes(node))?.last?.clients?.countries
  return told?.filter(({ homeClients }) => homeClients > 0)
}

/** Two relays, each a region of its own. */
async function twoRegions(): Promise<readonly [LiveRelay, LiveRelay]> {
  const ports = [await freePort(), await freePort()]
  const regions = ports.map((port, i) => ({
    id: 900 + i,
    code: `r${i}`,
    name: `Region ${i}`,
    nodes: [{ name: `90${i}a`, hostname: 'localhost', derpPort: port, meshHost: '127.0.0.1' }],
  }))
  const start = async (i: number): Promise<LiveRelay> =>
    await LiveRelay.start({
      derp: { host: '127.0.0.1', port: ports[i] ?? 0 },
      admin: anyPort,
      stun: anyPort,
      threadCount: 2,
      meshKeys: [MESH_KEY],
      certificate: { certificatePath: certificate.certPath, keyPath: certificate.keyPath },
      mesh: { ...NO_MESH, regions, node: `90${i}a`, ca: readFileSync(certificate.certPath, 'utf8') },
      measure: { countries: true, isRankingServed: false, capacityBits: 1_000_000_000 },
    })
  return await Promise.all([start(0), start(1)])
}

describe('two relays of two regions', () => {
  it('measure their clients by home region, their links, their load, and where STUN requests come from', async () => {
    const [here, there] = await twoRegions()
    await using _here = here
    await using _there = there
    // Each client's round trip is read once a minute: of so many, one every second or two.
    for (let n = 0; n < 20; n++) {
      const key = newKeyPair()
      const [home, away, visitor] = await Promise.all([here.client(), there.client({ key }), here.client()])
      home.notePreferred(true)
      away.notePreferred(true)
      visitor.notePreferred(false)
      // At home there, and connected here to reach a peer.
      await here.client({ key })
    }
    const [alice, bob] = [await here.client(), await here.client()]
    const timer = setInterval(() => {
      for (let n = 0; n < 60; n++) alice.send(bob.publicKey, Buffer.alloc(500))
    }, 10)
    try {
      await expect
        .poll(
          async () => (await valueOf(here)).clients.byHomeRegion.map(({ label }) => label).sort(),
          patiently,
        )
        .toEqual(['900', '901', 'other'])
      await expect
        .poll(async () => (await valueOf(here)).links[0]?.rttMedianMs ?? 0, patiently)
        .toBeGreaterThan(0)
      await expect
        .poll(async () => (await valueOf(here)).clients.stunRequests.unknown ?? 0, patiently)
        .toBeGreaterThan(0)
      await expect
        .poll(async () => (await valueOf(here)).throughput.peakPacketsPerSecond, patiently)
        .toBeGreaterThan(200)
      await expect.poll(async () => (await valueOf(here)).headroom.threads ?? 0, patiently).toBeGreaterThan(0)
    } finally {
      clearInterval(timer)
    }
    // The other region's relay knows it as well.
    await expect
      .poll(async () => (await homesToldOf(there, '900a'))?.map(({ country }) => country), patiently)
      .toEqual(['unknown'])
    const value = await valueOf(here)
    // On loopback.
    for (const { medianMs } of value.clients.byHomeRegion) expect(medianMs).toBeLessThan(100)
    expect(value.clients.byCountry.map(({ label }) => label)).toEqual(['unknown'])
    expect(value.headroom.capacity).toBeGreaterThan(0.9)
    const series = await here.samples(
      /^(?:derp_client_round_trip_by|derp_sibling_round_trip|stun_requests_by|derp_headroom|derp_throughput)/,
    )
    for (const name of [
      'derp_client_round_trip_by_region_seconds_count{home_region="900"}',
      'derp_client_round_trip_by_region_seconds_count{home_region="901"}',
      'derp_client_round_trip_by_country_seconds_count{country="unknown"}',
      'stun_requests_by_country_total{country="unknown"}',
      'derp_throughput_packets_per_second',
      'derp_headroom_ratio{limit="threads"}',
    ])
      expect([name, (series.get(name) ?? 0) > 0]).toEqual([name, true])
    // Nobody here is told of the clients' addresses; the name of a sibling may have one.
    const names = [...series.keys()].filter((name) => !name.includes('sibling='))
    expect(JSON.stringify(value.clients) + names.join()).not.toContain('127.0.0.1')
  }, 90_000)
})

/** A service without a relay. */
function service(countries: boolean, capacityBits?: number): QualityService {
  return new QualityService({
    settings: { measure: { countries, isRankingServed: false, capacityBits }, mesh: NO_MESH },
    log: new Log('error', { write: () => undefined }),
    threads: { counters: [], readLoopTimes: () => [] },
    links: new LinkWatch({ threadCount: 1, hasMesh: false, now: () => 0 }),
    mesh: undefined,
  })
}

const ADDRESSES = ['193.0.6.139', '202.12.27.33', '202.12.27.33', '10.0.0.1']
const batch = {
  ips: new Uint8Array(Buffer.concat(ADDRESSES.map(ipToBytes))),
  seconds: [0.02, 0.25, 0.26, 0.001],
  homes: [HOME_HERE, HOME_HERE, undefined, 'derp9.example'],
}

it('counts countries, and keeps none of the addresses', async () => {
  const quality = service(true)
  await quality.roundTripsRead(batch)
  await quality.stunRequests({ requests: 400, ips: batch.ips })
  const { clients, hasCountries } = quality.read()
  expect(hasCountries).toBe(true)
  expect(clients.byCountry.map(({ label, clients: count }) => [label, count])).toEqual([
    ['JP', 2],
    ['NL', 1],
    ['unknown', 1],
  ])
  expect(clients.byHomeRegion.map(({ label, clients: count }) => [label, count])).toEqual([
    ['own', 2],
    ['other', 2],
  ])
  expect(clients.stunRequests).toEqual({ NL: 100, JP: 200, unknown: 100 })
  // For the fleet's state: those whose home is here are told apart.
  const { isKnown, countries } = quality.clientCountries
  expect(isKnown).toBe(true)
  expect(countries.map(({ country, clients: all, homeClients }) => [country, all, homeClients])).toEqual([
    ['JP', 2, 1],
    ['NL', 1, 1],
    ['unknown', 1, 0],
  ])
  expect(countries[0]?.medianMs).toBeCloseTo(255, -1)
  expect(countries[0]?.homeMedianMs).toBeCloseTo(250, -1)
})

it('without countries all clients are of an unknown one, and nothing else differs', async () => {
  const [on, off] = [service(true), service(false)]
  await on.roundTripsRead(batch)
  await off.roundTripsRead(batch)
  expect(off.read().hasCountries).toBe(false)
  expect(off.read().clients.byCountry.map(({ label, clients }) => [label, clients])).toEqual([['unknown', 4]])
  expect(off.read().clients.byHomeRegion).toEqual(on.read().clients.byHomeRegion)
  expect(off.clientCountries).toMatchObject({
    isKnown: false,
    countries: [{ country: 'unknown', clients: 4, homeClients: 2 }],
  })
  expect(await off.countryOf(ipToBytes('193.0.6.139'))).toBeUndefined()
  expect(await on.countryOf(ipToBytes('193.0.6.139'))).toBe('NL')
})

it("the table of countries is not loaded for this host's own addresses", async () => {
  const lookup = new CountryLookup(true, new Log('error', { write: () => undefined }))
  await lookup.loadFor(new Uint8Array([...ipToBytes('127.0.0.1'), ...ipToBytes('::1')]))
  expect(lookup.isReady).toBe(false)
  await lookup.loadFor(ipToBytes('192.0.2.1').subarray(0, IP_BYTES))
  expect(lookup.isReady).toBe(true)
})

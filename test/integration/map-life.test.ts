// The life of a fleet's map through a real Headscale, which asks a relay again every second, to two real tailscaled: a relay is
// killed and comes back, and the endpoint fails in every way. Headscale's own ways are tests of their own, so that a
// version that does otherwise is noticed: docs/map.md tells operators of them.

import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import type { Region } from '#fleet/region.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { startHeadscale, type Control } from '../support/headscale.ts'
import { LoopbackFleet } from '../support/loopback-fleet.ts'
import { MapEndpoint } from '../support/map-endpoint.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { Client } from '../support/tailnet.ts'

const programs = await foreignPrograms('headscale', 'tailscale', 'tailscaled')

/** Silence (13 s), hold-down and the looks of relay, Headscale and client come to less than 20 s. */
const BOUND_MS = 40_000

function readMap(text: string): DerpMap {
  const map = readDerpMap(text)
  if ('fault' in map) throw new Error(map.fault)
  return map
}

/** As clients see it, whatever the order of nodes. */
function comparable(regions: readonly Region[]): unknown {
  return regions.map((region) => ({
    ...region,
    nodes: region.nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  }))
}

describe.skipIf('missing' in programs)("the fleet's map through Headscale", { timeout: 120_000 }, () => {
  let fleet: LoopbackFleet
  let endpoint: MapEndpoint
  let control: Control
  let clients: readonly Client[] = []
  let published: string

  beforeAll(async () => {
    if (!('paths' in programs)) return
    fleet = await LoopbackFleet.make(
      ['900a', '900b', '901a'],
      (fieldsOf) => `regions:
  900:
    code: fra
    name: Frankfurt é
    latitude: 50.11
    longitude: 8.68
    preferWithinMs: 20
    nodes: [{ ${fieldsOf('900a')} }, { ${fieldsOf('900b')} }]
  901: { code: nyc, nodes: [{ ${fieldsOf('901a')}, canport80: true }] }
  902: { code: syd, state: draining, nodes: [{ ${fieldsOf('901a').replace('901a', '902s')}, standby: true }] }
`,
    )
    await Promise.all(['900a', '900b', '901a'].map(async (node) => await fleet.start(node)))
    endpoint = await MapEndpoint.start(fleet.ports('901a').admin)
    published = await fleet.map('901a')
    const source = { url: endpoint.url, refreshedEvery: '1s' }
    control = await startHeadscale(programs.paths.headscale, fleet.folder, '127.0.0.1', source)
    const env = { SSL_CERT_FILE: fleet.caPath }
    const options = { folder: fleet.folder, programs: programs.paths, env }
    clients = await Promise.all(['alice', 'bob'].map(async (name) => await Client.start(name, options)))
    await Promise.all(clients.map(async (client) => await client.logIn(control.url, control.authKey)))
  }, 120_000)

  afterAll(async () => {
    await Promise.all(clients.map(async (client) => await client[Symbol.asyncDispose]()))
    await control?.server.stop()
    await endpoint?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  async function mapOf(client: Client | undefined): Promise<DerpMap> {
    return readMap((await client?.run('debug', 'derp-map')) ?? '')
  }

  /** The names of nodes in the order in which the client tries them, by region. */
  async function nodesOf(client: Client | undefined): Promise<string> {
    const { regions } = await mapOf(client)
    return regions.map(({ id, nodes }) => `${id}: ${nodes.map(({ name }) => name).join(' ')}`).join(', ')
  }

  async function eachHas(what: string, isSo: (nodes: string) => boolean): Promise<void> {
    for (const client of clients) {
      await waitUntil(`${client.name} has ${what}`, async () => isSo(await nodesOf(client)), BOUND_MS)
    }
  }

  async function reachEachOther(): Promise<void> {
    const [alice, bob] = clients
    const to = (await bob?.address()) ?? ''
    const ping = async (): Promise<boolean> =>
      (await alice?.run('ping', '--until-direct=false', '-c=1', '--timeout=3s', to))?.includes('via DERP') ===
      true
    await waitUntil('alice reaches bob', async () => await ping().catch(() => false), BOUND_MS)
  }

  it('is at the clients what was published, but for the scores and the order of nodes', async () => {
    const { regions, scores } = readMap(published)
    expect([...scores]).toEqual([
      [900, 0.4],
      [901, 1],
      [902, 1],
    ])
    await reachEachOther()
    const received = await mapOf(clients[0])
    expect(received.problems).toEqual([])
    expect(comparable(received.regions)).toEqual(comparable(regions))
    // H1: Headscale passes on the regions alone.
    expect(received.scores.size).toBe(0)
    const { latencies } = (await clients[0]?.netcheck()) ?? { latencies: new Map<number, number>() }
    expect([...latencies.keys()].toSorted((a, b) => a - b)).toEqual([900, 901])
  })

  it('stays as it is while the regions file is broken, and the log names the line', async () => {
    const regions = await fleet.regions
    await fleet.setRegions(regions.replace('code: nyc', 'code: [nyc'))
    const rejected = /"event":"regions_rejected".*regions\.yaml:9/
    await waitUntil('the log names it', () => rejected.test(fleet.output('901a')), BOUND_MS)
    expect(await fleet.map('901a')).toBe(published)
    await fleet.setRegions(regions)
  })

  it('has its nodes in another order after some refreshes (H2)', async () => {
    const orders = new Set<string>()
    await waitUntil(
      'both orders were seen',
      async () => orders.add(await nodesOf(clients[0])).size === 2,
      BOUND_MS,
    )
    expect(orders).toEqual(
      new Set(['900: 900a 900b, 901: 901a, 902: 902s', '900: 900b 900a, 901: 901a, 902: 902s']),
    )
  })

  it('loses a relay that is killed, gets it back, and never a region, however the endpoint fails', async () => {
    await fleet.kill('900b')
    for (const mode of ['reset', 'hang', 'garbage', 'error'] as const) {
      endpoint.mode = mode
      await waitUntil(`Headscale meets ${mode}`, () => endpoint.asked > 0, BOUND_MS)
      for (const client of clients) expect(await nodesOf(client)).toMatch(/900: .*901: .*902: /)
      // Those that were connected to it have found the next node by themselves.
      if (mode === 'reset') await reachEachOther()
      // Headscale waits longer after each failure.
      endpoint.mode = 'pass'
      await waitUntil('Headscale has the map', () => endpoint.asked > 0, BOUND_MS)
    }
    await waitUntil(
      'the map is without it',
      async () => !(await fleet.map('901a')).includes('900b'),
      BOUND_MS,
    )
    await eachHas('it no more', (nodes) => nodes === '900: 900a, 901: 901a, 902: 902s')
    await reachEachOther()
    // The relay that Headscale asks knows nothing of the others when it starts, and yet gives nobody back.
    await fleet.kill('901a')
    await fleet.start('901a')
    const served: string[] = []
    const knows = async (): Promise<boolean> => {
      served.push(await fleet.map('901a'))
      return (await fleet.page('901a', '/fleet')).includes('"seen":2')
    }
    await waitUntil('it hears of the others', knows, BOUND_MS)
    expect(served.filter((map) => map.includes('900b') || !map.includes('900a'))).toEqual([])
    await fleet.start('900b')
    for (const node of ['901a', '900a', '900b']) {
      const isAsBefore = async (): Promise<boolean> => (await fleet.map(node)) === published
      await waitUntil(`the map of ${node} is as before`, isAsBefore, BOUND_MS)
    }
    await eachHas('it again', (nodes) => nodes.includes('900b'))
  })

  it('is lost to a server that answers an error in JSON (H3)', async () => {
    endpoint.mode = 'jsonError'
    await eachHas('no regions', (nodes) => nodes === '')
    endpoint.mode = 'pass'
    await eachHas('all regions', (nodes) => nodes.includes('900b'))
  })

  it('is needed for the start of Headscale, which ends without an endpoint (H4)', async () => {
    if (!('paths' in programs)) return
    const folder = await mkdtemp(join(fleet.folder, 'cold-'))
    const url = new URL(`http://127.0.0.1:${await freePort()}/derpmap.json`)
    await expect(startHeadscale(programs.paths.headscale, folder, '127.0.0.1', url)).rejects.toThrow(
      /refused/,
    )
    await rm(folder, { recursive: true })
  })
})

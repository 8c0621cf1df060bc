// The fleet's map through a real Headscale to a real tailscaled, from the file that operators save: what clients have is what
// was published. Headscale merges several maps region by region, shuffles the nodes of each, and drops the scores. A relay's URL
// is tried in map-life.test.ts.

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import type { Region } from '#fleet/region.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { startHeadscale } from '../support/headscale.ts'
import { Client } from '../support/tailnet.ts'

const found = await foreignPrograms('headscale', 'tailscale', 'tailscaled')
const programs = 'paths' in found ? found.paths : undefined

const FILE = `regions:
  900:
    code: fra
    name: Frankfurt é
    latitude: 50.11
    longitude: 8.68
    preferWithinMs: 20
    nodes:
      - { name: 900a, hostname: localhost, ipv4: 127.0.0.1, ipv6: none, derpport: 8443, stunport: -1, pin: ${'AB'.repeat(32)} }
      - { name: 900b, hostname: fra2.lab.example, canport80: true }
  901: { code: nyc, state: draining, nodes: [{ name: 901a, hostname: nyc.lab.example, ipv6: "2001:db8::1" }] }
  902: { code: off, state: off, nodes: [{ name: 902a, hostname: off.lab.example }] }
`

/** As clients see it, whatever the order of nodes. */
function comparable(regions: readonly Region[]): unknown {
  return regions.map((region) => ({
    ...region,
    nodes: region.nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  }))
}

function readMap(text: string): DerpMap {
  const map = readDerpMap(text)
  if ('fault' in map) throw new Error(map.fault)
  return map
}

/** The map of a client behind a Headscale that has its map from this text. */
async function mapThroughHeadscale(map: string, url: URL): Promise<DerpMap> {
  if (programs === undefined) throw new Error('programs are missing')
  const folder = await mkdtemp(join(tmpdir(), 'map-'))
  const control = await startHeadscale(programs.headscale, folder, '127.0.0.1', { file: map, url })
  try {
    await using alice = await Client.start('alice', { folder, programs })
    await alice.logIn(control.url, control.authKey)
    return readMap(await alice.run('debug', 'derp-map'))
  } finally {
    await control.server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

describe.skipIf(programs === undefined)("the fleet's map", () => {
  it("reaches clients through Headscale's file, which replaces the regions of its URL", async () => {
    using folder = new TemporaryFolder()
    const path = folder.write('regions.yaml', FILE)
    const { stdout: published } = await derpfleet(['map', '-format', 'json', '-regions-file', path])
    const { stdout: map } = await derpfleet(['map', '-format', 'headscale', '-regions-file', path])
    const other = (id: number, code: string): object => {
      const node = { Name: code, RegionID: id, HostName: 'x.example' }
      return { RegionID: id, RegionCode: code, Nodes: [node] }
    }
    const others = { Regions: { 900: other(900, 'old'), 910: other(910, 'more') } }
    const server = createServer((_, response) => response.end(JSON.stringify(others))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const received = await mapThroughHeadscale(map, url).finally(() => server.close())
    expect(received.problems).toEqual([])
    const { regions, scores } = readMap(published)
    expect(regions.map(({ id }) => id)).toEqual([900, 901])
    expect(scores.get(900)).toBe(0.4)
    expect(comparable(received.regions.filter(({ id }) => id !== 910))).toEqual(comparable(regions))
    expect(received.regions.map(({ code }) => code)).toEqual(['fra', 'nyc', 'more'])
    expect(received.scores.size).toBe(0)
  }, 120_000)
})

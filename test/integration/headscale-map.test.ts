// The fleet's map through a real Headscale to a real tailscaled, from the file that operators save and from the URL of a
// relay: what clients have is what was published. Headscale shuffles the nodes of a region, and drops the scores.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import type { Region } from '#fleet/region.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'
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

/** The map of a client behind a Headscale that has its map from there. */
async function mapThroughHeadscale(source: string | URL): Promise<DerpMap> {
  if (programs === undefined) throw new Error('programs are missing')
  const folder = await mkdtemp(join(tmpdir(), 'map-'))
  const control = await startHeadscale(programs.headscale, folder, '127.0.0.1', source)
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
  it("reaches clients through Headscale's file and through a relay's URL", async () => {
    using folder = new TemporaryFolder()
    const path = folder.write('regions.yaml', FILE)
    const read = readRegionsFile(path, FILE)
    const regions = 'regions' in read ? read.regions : []
    await using relay = await LiveRelay.start({
      admin: { host: '127.0.0.1', port: 0 },
      meshKeys: [MESH_KEY],
      mesh: { ...NO_MESH, regionsPath: path, regions },
    })
    const published = readMap(await relay.page('/derpmap.json'))
    expect(published.regions.map(({ id }) => id)).toEqual([900, 901])
    expect(published.scores.get(900)).toBe(0.4)
    const { stdout: file } = await derpfleet(['map', '-format', 'headscale', '-regions-file', path])
    const url = new URL(`http://127.0.0.1:${relay.addresses.admin?.port}/derpmap.json`)
    for (const source of [file, url]) {
      const received = await mapThroughHeadscale(source)
      expect(received.problems).toEqual([])
      expect(comparable(received.regions)).toEqual(comparable(published.regions))
      expect(received.scores.size).toBe(0)
    }
  }, 120_000)
})

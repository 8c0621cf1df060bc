// The example with three regions from its regions file to a fleet that carries packets of real clients, by each way that the
// product has from the file to the hosts. Then one edit of that file adds a region and drains another, while the clients
// send to each other.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { canDelayPackets } from '../support/delay-router.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Pinger } from '../support/pinger.ts'
import { waitUntil } from '../support/process.ts'
import type { Client } from '../support/tailnet.ts'
import { hostMakers } from './generated-hosts.ts'
import { GeneratedLab } from './generated-lab.ts'

const START_TIMEOUT_MS = 180_000
const TEST_TIMEOUT_MS = 120_000
/** Hosts have read the file, measured each other, and heard of a new one. */
const FOLLOW_MS = 30_000
/** Clients measure every 20 to 26 s. */
const MOVE_MS = 60_000
/** A connection to a region whose entry has changed is made anew, in a second or two. */
const GAP_MS_MAX = 8_000

const found = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const isPossible = 'paths' in found && (await canDelayPackets())

const ADDED = `  903:
    code: gru
    name: São Paulo
    latitude: -23.43
    longitude: -46.47
    nodes:
      - { name: 903a, hostname: derp1.gru.example.com, canport80: true }
`

describe.skipIf(!isPossible).each(await hostMakers())('hosts by $name', (maker) => {
  let all: GeneratedLab

  beforeAll(async () => {
    if ('paths' in found) all = await GeneratedLab.make(maker, found.paths)
  }, START_TIMEOUT_MS)
  afterAll(async () => await all?.[Symbol.asyncDispose](), START_TIMEOUT_MS)

  /** The map that the program makes of the file is the one that each relay serves, byte for byte. */
  async function eachServes(regions: string): Promise<void> {
    using folder = new TemporaryFolder()
    const path = folder.write('regions.yaml', regions)
    const { stdout: map } = await derpfleet(['map', '-regions-file', path, '-all', '-format', 'json'])
    for (const [name, host] of all.hosts) {
      await waitUntil(
        `${name} serves the map of the file`,
        async () => (await host.run('curl -sf http://127.0.0.1:9090/derpmap.json')) === map,
        FOLLOW_MS,
      )
    }
  }

  async function eachSees(relays: number): Promise<void> {
    for (const [name, host] of all.hosts) {
      await waitUntil(
        `${name} is ready and sees ${relays} relays`,
        async () => {
          await host.run('curl -sf http://127.0.0.1:9090/readyz')
          return (await host.run('derpfleet status -fleet')).includes(`${relays} of ${relays} relays seen`)
        },
        FOLLOW_MS,
      )
    }
  }

  async function homeIs(client: Client, code: string): Promise<void> {
    await waitUntil(
      `${client.name}'s home is ${code}`,
      async () => (await client.homeRegion()) === code,
      MOVE_MS,
    ).catch((error: unknown) => {
      throw new Error(client.log(), { cause: error })
    })
  }

  /** Clients that are at home at some relays. Headscale shuffles nodes, so a client may be at a region's standby. */
  async function homesAt(...names: readonly string[]): Promise<number> {
    const series = 'curl -sf http://127.0.0.1:9090/metrics | grep "^derp_clients_current{kind=\\"home\\"}"'
    const lines = await Promise.all(names.map(async (name) => await all.host(name).run(series)))
    return lines.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
  }

  test(
    'the generated files start the fleet, and clients of two regions reach each other',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      await eachSees(4)
      await eachServes(all.regions)
      await homeIs(all.alice, 'nyc')
      await homeIs(all.bob, 'fsn')
      const [toBob, toAlice] = [await all.bob.address(), await all.alice.address()]
      for (const [from, to, code] of [
        [all.alice, toBob, 'fsn'],
        [all.bob, toAlice, 'nyc'],
      ] as const) {
        const answer = await from.run('ping', '--until-direct=false', '-c=3', to)
        expect(answer).toContain(`via DERP(${code})`)
      }
      expect(await homesAt(...all.hosts.keys())).toBe(2)
    },
  )

  test('an edit of the file adds a region and drains another', { timeout: TEST_TIMEOUT_MS }, async () => {
    const regions = `${all.regions.replace('    code: nyc\n', '    code: nyc\n    state: draining\n')}${all.withAddresses(ADDED)}`
    const pinger = new Pinger(all.alice, await all.bob.address())
    try {
      // Nothing but the regions file is another one at hosts that are there, so nothing needs a restart.
      expect(new Set(await all.edit(regions))).toEqual(new Set(['/etc/derpfleet/regions.yaml']))
      await eachServes(regions)
      await eachSees(5)
      await all.deliverMap((text) => text.includes('derp1.gru.example.com'))
      await waitUntil(
        'alice has the map',
        async () => /"gru"/.test(await all.alice.run('debug', 'derp-map')),
        MOVE_MS,
      )
    } finally {
      await pinger[Symbol.asyncDispose]()
    }
    const { sent, lost, longestGapMs } = pinger.take()
    process.stderr.write(
      `${maker.name}: ${lost} of ${sent} pings lost during the edit, longest gap ${longestGapMs} ms\n`,
    )
    expect(sent).toBeGreaterThan(0)
    expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
    const map = JSON.parse(await all.alice.run('debug', 'derp-map')) as {
      readonly Regions: Readonly<Record<string, { readonly NoMeasureNoHome?: boolean }>>
    }
    const draining = Object.entries(map.Regions).map(([id, region]) => [id, region.NoMeasureNoHome === true])
    expect(Object.fromEntries(draining)).toEqual({ 900: false, 901: true, 902: false, 903: false })
  })

  test('an idle client leaves the drained region for the new one', { timeout: TEST_TIMEOUT_MS }, async () => {
    await homeIs(all.alice, 'gru')
    await homeIs(all.bob, 'fsn')
    await waitUntil('alice is at São Paulo', async () => (await homesAt('903a')) === 1, MOVE_MS)
    expect(await homesAt('901a')).toBe(0)
    const to = await all.alice.address()
    expect(await all.bob.run('ping', '--until-direct=false', '-c=5', to)).toContain('via DERP(gru)')
  })
})

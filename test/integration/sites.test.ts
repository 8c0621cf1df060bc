// One region with two distant sites, and one host name that leads each client to the nearest. Measures what unmodified
// clients get with a site each, and with both on one distant relay.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DelayLine } from '../support/delay-line.ts'
import { Fleet, type FleetRelay } from '../support/fleet.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab, NETWORK_4 } from '../support/lab.ts'
import { canMakeNetworks } from '../support/network.ts'
import { waitUntil } from '../support/process.ts'
import { startTailnet, type Tailnet } from '../support/tailnet.ts'

const START_TIMEOUT_MS = 240_000
const TEST_TIMEOUT_MS = 180_000
/** Delay between the sites, in one direction. */
const DELAY_MS = 10
const RECOVERY_TIMEOUT_MS = 5_000
/** At the few megabytes in a second that such a path carries. */
const TRANSFER_BYTES = 20_000_000

const REGIONS = `
regions:
  900:
    code: lab
    nodes:
      - { name: 900a, hostname: derp.lab, mesh: ${NETWORK_4}101 }
      - { name: 900b, hostname: derp.lab, mesh: ${NETWORK_4}102 }
`

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const canMake = await canMakeNetworks()
if (!canMake) process.stderr.write('SKIPPING tests of two sites: network namespaces require root\n')

describe.skipIf('missing' in clients || !canMake)('a region of two sites', () => {
  let lab: Lab
  let fleet: Fleet
  let net: Tailnet
  let sites: readonly [FleetRelay, FleetRelay]
  const lines: DelayLine[] = []
  const results: string[] = []

  beforeAll(async () => {
    lab = await Lab.make('site1.lab', 'site2.lab', 'alice.lab', 'bob.lab')
    const [near, far] = [lab.host('site1.lab'), lab.host('site2.lab')]
    for (const [number, site] of [
      [101, near],
      [102, far],
    ] as const) {
      const host = await lab.addAddress(number)
      lines.push(await DelayLine.open({ host, port: 443 }, { host: site.address, port: 443 }, DELAY_MS))
    }
    fleet = await Fleet.make(REGIONS)
    sites = [
      { host: near, hostname: 'derp.lab', node: '900a' },
      { host: far, hostname: 'derp.lab', node: '900b' },
    ]
    for (const site of sites) await fleet.start(site)
    // Each client resolves the name to its own site first. The path to the other site is long.
    await lab.host('alice.lab').setHosts([`${near.address} derp.lab`, `${NETWORK_4}102 derp.lab`])
    await lab.host('bob.lab').setHosts([`${far.address} derp.lab`, `${NETWORK_4}101 derp.lab`])
    const node = { name: '900a', regionid: 900, hostname: 'derp.lab', ipv6: 'none' }
    const region = { regionid: 900, regioncode: 'lab', regionname: 'Laboratory', nodes: [node] }
    net = await startTailnet({
      lab: {
        controlAddress: lab.ownAddress,
        hosts: { alice: lab.host('alice.lab'), bob: lab.host('bob.lab') },
        derpMap: { regions: new Map([[900, region]]) },
        homeRegion: 'lab',
        caPath: fleet.caPath,
      },
    })
  }, START_TIMEOUT_MS)

  afterAll(async () => {
    await net?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
    for (const line of lines) await line[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
    process.stderr.write(`two sites, ${DELAY_MS} ms apart: ${results.join('; ')}\n`)
  }, START_TIMEOUT_MS)

  async function pingMs(): Promise<number> {
    const answer = await net.alice.run('ping', '--until-direct=false', '-c=5', await net.bob.address())
    const times = [...answer.matchAll(/via DERP\(lab\) in (\d+)ms/g)].map(([, ms]) => Number(ms))
    expect(times).toHaveLength(5)
    return times.toSorted((a, b) => a - b)[2] ?? 0
  }

  async function transfer(label: string, bytes: number): Promise<void> {
    const ping = await pingMs()
    const { sent, received, receivedBytes, seconds } = await net.transfer(bytes)
    expect(receivedBytes).toBe(bytes)
    expect(received).toBe(sent)
    results.push(`${label}: ping ${ping} ms, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s`)
  }

  async function forwardedCounts(): Promise<readonly number[]> {
    const series = 'derp_mesh_forwarded_packets_total{direction="out"}'
    return await Promise.all(sites.map(async ({ host }) => await fleet.metric(host, series)))
  }

  test('clients at different sites reach each other', { timeout: TEST_TIMEOUT_MS }, async () => {
    expect(await net.alice.run('ping', '--tsmp', '-c=1', await net.bob.address())).toContain('via TSMP')
    const before = await forwardedCounts()
    await transfer('each at its own site', TRANSFER_BYTES)
    const after = await forwardedCounts()
    for (const [i, count] of after.entries()) expect(count - (before[i] ?? 0)).toBeGreaterThan(2_000)
  })

  test('a client whose site is down reconnects to the other site', { timeout: TEST_TIMEOUT_MS }, async () => {
    await fleet.kill('900a')
    const address = await net.bob.address()
    await waitUntil(
      'alice reaches bob again',
      async () =>
        (await net.alice.run('ping', '--until-direct=false', '-c=1', '--timeout=500ms', address)).includes(
          'via DERP',
        ),
      RECOVERY_TIMEOUT_MS,
    )
  })

  test('measures both clients on one distant relay', { timeout: TEST_TIMEOUT_MS }, async () => {
    await transfer('both at the far site', TRANSFER_BYTES)
  })
})

// Where clients are, as a fleet of two relays finds out: clients log in from addresses of two countries, the kernel's round trips
// become medians by country, and the other relay, which none of them has ever asked, ranks the regions by them. Then `advise`.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { derpfleet } from '../cli/program.ts'
import { Fleet, type FleetRelay } from '../support/fleet.ts'
import { Lab } from '../support/lab.ts'
import { canMakeNetworks } from '../support/network.ts'
import { startProcess, waitUntil, runOk, type RunningProcess } from '../support/process.ts'

const TIMEOUT_MS = 90_000
const CLIENTS = new URL('../support/clients-at-home.ts', import.meta.url).pathname
/** Addresses of registries, which are where they are: RIPE in Amsterdam, APNIC with its network in Japan. */
const AT = { NL: '193.0.6.139', JP: '202.12.27.33' } as const

interface Region {
  readonly code: string
  readonly reason: string
  readonly clients?: number
  readonly roundTripMs?: number
}

const canMake = await canMakeNetworks()
if (!canMake)
  process.stderr.write('SKIPPING tests of clients in countries: network namespaces require root\n')

describe.skipIf(!canMake)('clients of two countries', { timeout: TIMEOUT_MS }, () => {
  let lab: Lab
  let fleet: Fleet
  let relays: readonly [fra: FleetRelay, nyc: FleetRelay]
  let clients: RunningProcess[]

  beforeAll(async () => {
    lab = await Lab.make('fra1.lab', 'nyc1.lab', 'clients.lab')
    const [fra, nyc] = ['fra1.lab', 'nyc1.lab'].map((name) => lab.host(name))
    if (fra === undefined || nyc === undefined) throw new Error('no hosts')
    fleet = await Fleet.make(`regions:
  900: { code: fra, latitude: 50.1, longitude: 8.7, nodes: [{ name: 900a, hostname: fra1.lab, ipv4: ${fra.address} }] }
  901: { code: nyc, latitude: 40.7, longitude: -74, nodes: [{ name: 901a, hostname: nyc1.lab, ipv4: ${nyc.address} }] }
`)
    relays = [
      { host: fra, hostname: 'fra1.lab', node: '900a' },
      { host: nyc, hostname: 'nyc1.lab', node: '901a' },
    ]
    await Promise.all(relays.map(async (relay) => await fleet.start(relay)))
    const host = lab.host('clients.lab')
    for (const address of Object.values(AT)) {
      await runOk(...host.command('ip', 'addr', 'add', `${address}/32`, 'dev', 'eth0'))
      await runOk(...fra.command('ip', 'route', 'add', `${address}/32`, 'dev', 'eth0'))
    }
    // Each round trip is read once a minute: of so many, several in a second.
    const at = [CLIENTS, 'fra1.lab', fra.address, '443']
    clients = await Promise.all(
      Object.values(AT).map(async (address) => {
        const [command, args] = host.command(process.execPath, ...at, address, '120')
        return await startProcess(command, args, { readyWhen: /all are here/ })
      }),
    )
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all((clients ?? []).map(async (one) => await one.stop()))
    await fleet?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  }, TIMEOUT_MS)

  async function rankingAt(
    relay: FleetRelay | undefined,
    ip: string,
  ): Promise<{ country: string | null; regions: readonly Region[] }> {
    const answer = await fetch(`http://${relay?.host.address}:9090/regions?ip=${ip}`)
    return (await answer.json()) as { country: string | null; regions: readonly Region[] }
  }

  test('another relay ranks the regions by what was measured', async () => {
    for (const [country, ip] of Object.entries(AT)) {
      await waitUntil(
        `clients from ${country} are measured`,
        async () => (await rankingAt(relays[1], ip)).regions.some(({ reason }) => reason === 'measured'),
        TIMEOUT_MS / 2,
      )
      const { country: found, regions } = await rankingAt(relays[1], ip)
      expect(found).toBe(country)
      expect(regions.map(({ code, reason }) => [code, reason])).toEqual([
        ['fra', 'measured'],
        ['nyc', 'distance'],
      ])
      // Without delay between the hosts.
      expect(regions[0]?.roundTripMs).toBeLessThan(50)
    }
    // No page has addresses.
    for (const { host } of relays)
      for (const page of ['/fleet', '/fleet/regions', '/quality', '/metrics'])
        expect(await (await fetch(`http://${host.address}:9090${page}`)).text()).not.toMatch(
          /193\.0\.6|202\.12\.27/,
        )
  })

  test('advise finds nothing to gain where all are near, and that the other region is idle', async () => {
    const { code, stdout } = await derpfleet(['advise', '-addr', `${relays[1].host.address}:9090`])
    expect([code, stdout]).toEqual([0, expect.stringContaining('No place helps')])
    expect(stdout).toMatch(
      /^2 regions, 2 of 2 relays heard; \d+ clients at home, \d+ of them measured in known places$/m,
    )
    expect(stdout).toContain('nyc (901) is idle and could go: no client is at home there.')
  })
})

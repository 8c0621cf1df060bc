// Two regions of two relays each, with unmodified clients whose home is one of them: a packet sent to the former home of
// its destination, and the loss of the control server and of a whole region.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import type { Fleet, FleetRelay } from '../support/fleet.ts'
import { foreignPrograms } from '../support/foreign.ts'
import type { Lab } from '../support/lab.ts'
import { canMakeNetworks } from '../support/network.ts'
import { waitUntil } from '../support/process.ts'
import type { Tailnet } from '../support/tailnet.ts'
import { TwoRegionLab } from '../support/two-region-lab.ts'

const START_TIMEOUT_MS = 240_000
const TEST_TIMEOUT_MS = 120_000
const RECOVERY_TIMEOUT_MS = 5_000

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const canMake = await canMakeNetworks()
if (!canMake) process.stderr.write('SKIPPING tests of two regions: network namespaces require root\n')

describe.skipIf('missing' in clients || !canMake)('two regions', () => {
  let all: TwoRegionLab
  let lab: Lab
  let fleet: Fleet
  let net: Tailnet
  let relays: readonly FleetRelay[]

  beforeAll(async () => {
    // The second relay of New York is the standby of Frankfurt.
    all = await TwoRegionLab.make(['nyc2.lab', '900s'])
    ;({ lab, fleet, net, relays } = all)
  }, START_TIMEOUT_MS)

  afterAll(async () => {
    await all?.[Symbol.asyncDispose]()
  }, START_TIMEOUT_MS)

  async function clientAt(hostname: string, more: Partial<ClientOptions> = {}): Promise<DerpClient> {
    const dialAddress = lab.host(hostname).address
    return await DerpClient.connect({
      host: hostname,
      dialAddress,
      tls: { ca: fleet.ca },
      key: newKeyPair(),
      ...more,
    })
  }

  async function countsOf(series: string): Promise<Record<string, number>> {
    const counts = relays.map(async ({ host, node }) => [node, await fleet.metric(host, series)] as const)
    return Object.fromEntries(await Promise.all(counts))
  }

  test(
    'a packet sent to a former home arrives once, at the current home',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      const key = newKeyPair()
      const [sender, target] = [
        await clientAt('fra1.lab'),
        await clientAt('nyc1.lab', { key, isPreferred: true }),
      ]
      const received: string[] = []
      target.on('packet', ({ packet }) => received.push(packet.toString()))
      // Enough time for the presence to reach all relays.
      await sleep(1_000)
      const before = await countsOf('derp_mesh_forwarded_packets_total')
      const text = randomBytes(8).toString('hex')
      sender.send(key.publicKey, Buffer.from(text))
      await waitUntil('the packet has arrived', () => received.includes(text), RECOVERY_TIMEOUT_MS)
      await sleep(1_000)
      expect(received).toEqual([text])
      const after = await countsOf('derp_mesh_forwarded_packets_total')
      const increases = Object.fromEntries(
        Object.entries(after).map(([node, count]) => [node, count - (before[node] ?? 0)]),
      )
      expect(increases).toMatchObject({ '900a': 1, '901a': 1 })
      await sender.close()
      await target.close()
    },
  )

  test(
    'without control server and home region, clients reconnect to the standby',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      const address = await net.bob.address()
      const ping = async (): Promise<boolean> =>
        (await net.alice.run('ping', '--until-direct=false', '-c=1', '--timeout=500ms', address)).includes(
          'via DERP',
        )
      await waitUntil('alice reaches bob', ping, RECOVERY_TIMEOUT_MS)
      await net.stopControl()
      await Promise.all([fleet.kill('900a'), fleet.kill('900b')])
      await waitUntil('alice reaches bob again', ping, RECOVERY_TIMEOUT_MS)
      for (let times = 0; times < 10; times++) {
        expect(await ping()).toBe(true)
        await sleep(1_000)
      }
      expect(await fleet.metric(lab.host('nyc2.lab'), 'derp_clients_current{kind="home"}')).toBe(2)
    },
  )
})

// A rolling upgrade of a fleet of two regions with two relays each: one relay after the other is drained by SIGTERM and
// started again, while two unmodified Tailscale clients ping each other through them, and a hundred of the project's own
// exchange packets beside them. The lost pings and packets are counted.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Fleet, FleetRelay } from '../support/fleet.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { canMakeNetworks } from '../support/network.ts'
import { MovingClients } from '../support/moving-clients.ts'
import { Pinger } from '../support/pinger.ts'
import { waitUntil } from '../support/process.ts'
import type { Tailnet } from '../support/tailnet.ts'
import { TwoRegionLab } from '../support/two-region-lab.ts'

const START_TIMEOUT_MS = 240_000
const TEST_TIMEOUT_MS = 240_000
/** What a client may be without an answer: a refused dial, a new login, and a ping that is lost meanwhile. */
const GAP_MS_MAX = 5_000
const OWN_CLIENTS = 100
const OWN_RATE = 5
/** A relay takes half a second to start on an idle machine. */
const READY_TIMEOUT_MS = 30_000

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const canMake = await canMakeNetworks()
if (!canMake) process.stderr.write('SKIPPING the rolling upgrade: network namespaces require root\n')

describe.skipIf('missing' in clients || !canMake)(
  'a rolling upgrade of two regions with two relays each',
  () => {
    let all: TwoRegionLab
    let fleet: Fleet
    let net: Tailnet
    let relays: readonly FleetRelay[]

    beforeAll(async () => {
      all = await TwoRegionLab.make()
      ;({ fleet, net, relays } = all)
    }, START_TIMEOUT_MS)

    afterAll(async () => {
      await all?.[Symbol.asyncDispose]()
    }, START_TIMEOUT_MS)

    test('no relay leaves its clients without an answer for long', { timeout: TEST_TIMEOUT_MS }, async () => {
      await using own = await MovingClients.connect({
        count: OWN_CLIENTS,
        rate: OWN_RATE,
        packetBytes: 200,
        relays: relays.slice(0, 2).map(({ host, hostname }) => ({
          host: hostname,
          dialAddress: host.address,
          tls: { ca: fleet.ca },
        })),
        firstOf: (index) => index % 2,
      })
      await sleep(1_000)
      own.start()
      await using pinger = new Pinger(net.alice, await net.bob.address())
      await sleep(5_000)
      const quiet = pinger.take()
      process.stderr.write(`before the upgrade: ${quiet.sent} pings, ${quiet.lost} lost\n`)
      let lost = 0
      let moved = 0
      for (const relay of relays) {
        const { exit, numbers } = await fleet.drain(relay.node)
        expect(exit).toEqual({ code: 0, signal: null })
        expect(numbers).toMatchObject({ forced: 0, remaining: 0 })
        moved += (numbers['moved'] ?? 0) + (numbers['left'] ?? 0)
        await fleet.start(relay)
        await waitUntil(
          `${relay.node} is ready`,
          async () => (await fleet.metric(relay.host, 'derp_ready')) === 1,
          READY_TIMEOUT_MS,
        )
        await sleep(3_000)
        const counts = pinger.take()
        lost += counts.lost
        process.stderr.write(
          `${relay.node} drained and started: ${numbers['moved']} clients moved, ${numbers['lost']} packets lost; ` +
            `${counts.sent} pings, ${counts.lost} lost, longest gap ${counts.longestGapMs} ms\n`,
        )
        expect(counts.longestGapMs).toBeLessThanOrEqual(GAP_MS_MAX)
      }
      own.stop()
      await sleep(1_500)
      const losses = own.losses()
      process.stderr.write(
        `rolling upgrade of ${relays.length} relays: ${lost} pings lost in all; ${OWN_CLIENTS} own clients: ` +
          `${losses.sent} packets sent, ${losses.lost} lost, ${losses.disconnects} reconnects\n`,
      )
      // Alice, bob and the own clients were moved at least once.
      expect(moved).toBeGreaterThanOrEqual(OWN_CLIENTS + 2)
      expect(await net.alice.homeRegion()).toBe('fra')
    })
  },
)

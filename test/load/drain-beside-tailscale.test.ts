// A relay drains under the load of a thousand clients while two unmodified Tailscale clients ping each other through it: what
// both lose. LOAD_RATE=50 is the full size, for a machine that does nothing else.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { foreignPrograms } from '../support/foreign.ts'
import { hasMovers, Movers, printMoved } from '../support/movers.ts'
import { canMakeNetworks } from '../support/network.ts'
import { Pinger } from '../support/pinger.ts'
import { TwoRegionLab } from '../support/two-region-lab.ts'

const START_TIMEOUT_MS = 240_000
const TEST_TIMEOUT_MS = 120_000
/** What a client may be without an answer: a refused dial, a new login, and a ping that is lost meanwhile. */
const GAP_MS_MAX = 5_000

const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const canMove = await hasMovers('a drain beside Tailscale clients')
const canMake = await canMakeNetworks()
if (!canMake)
  process.stderr.write('SKIPPING a drain beside Tailscale clients: network namespaces require root\n')

describe.skipIf('missing' in clients || !canMake || !canMove)(
  'a relay with a thousand clients and two of Tailscale drains',
  () => {
    let all: TwoRegionLab

    beforeAll(async () => {
      all = await TwoRegionLab.make()
    }, START_TIMEOUT_MS)

    afterAll(async () => {
      await all?.[Symbol.asyncDispose]()
    }, START_TIMEOUT_MS)

    test(
      'their pings are answered again within five seconds',
      { timeout: TEST_TIMEOUT_MS, retry: 1 },
      async () => {
        const { fleet, net, relays } = all
        const servers = relays.slice(0, 2).map(({ host }) => ({ host: host.address, port: 443 }))
        await using movers = await Movers.start(servers)
        await using pinger = new Pinger(net.alice, await net.bob.address())
        await sleep(5_000)
        const before = pinger.take()
        const { exit, numbers } = await fleet.drain('900a')
        expect(exit).toEqual({ code: 0, signal: null })
        const outcome = await movers.done()
        const during = pinger.take()
        for (const [when, { sent, lost, longestGapMs }] of Object.entries({ before, during })) {
          process.stderr.write(
            `${when} the drain: ${sent} pings, ${lost} lost, longest gap ${longestGapMs} ms\n`,
          )
        }
        printMoved('derpfleet beside Tailscale clients', outcome)
        expect(during.longestGapMs).toBeLessThanOrEqual(GAP_MS_MAX)
        expect(outcome.lostP99).toBeLessThanOrEqual(1)
        expect([outcome.repeated, outcome.corrupted]).toEqual([0, 0])
        expect(numbers).toMatchObject({ forced: 0, remaining: 0 })
      },
    )
  },
)

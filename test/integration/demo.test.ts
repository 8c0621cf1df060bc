// The fleet of `npm run demo`: six relays in three regions with links between all, a relay that is killed, a region that is
// drained, and clients that stay connected. With delayed packets where that is possible.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Overview } from '#ops/overview.ts'
import { DemoFleet, REGIONS } from '../demo/demo-fleet.ts'
import { waitUntil } from '../support/process.ts'

const TIMEOUT_MS = 120_000

describe.skipIf(process.platform !== 'linux')('the demo', { timeout: TIMEOUT_MS }, () => {
  let demo: DemoFleet

  beforeAll(async () => {
    demo = await DemoFleet.start()
  }, TIMEOUT_MS)

  afterAll(async () => {
    await demo?.[Symbol.asyncDispose]()
  }, TIMEOUT_MS)

  async function seenBy(node: string): Promise<Overview> {
    return (await (await fetch(`${demo.pageOf(node)}status.json`)).json()) as Overview
  }

  it('has a matrix of all relays with the delays between regions, and clients with traffic', async () => {
    const pairs = demo.relays.length * (demo.relays.length - 1)
    await waitUntil('all links are measured', async () => {
      const { links } = await seenBy('902b')
      return links.filter(({ isUp, rttMs }) => isUp && typeof rttMs === 'number').length === pairs
    })
    const { links, regions, relays } = await seenBy('902b')
    expect(regions.map(({ name, up }) => [name, up])).toEqual(REGIONS.map(({ name }) => [name, 2]))
    expect(relays.reduce((sum, { clients }) => sum + (clients ?? 0), 0)).toBeGreaterThan(0)
    const far = links.find(({ from, to }) => from.startsWith('fra1') && to.startsWith('syd1'))
    if (demo.isDelayed) expect(far?.rttMs).toBeGreaterThan(250)
  })

  it('shows a killed relay and a drained region, and the clients go elsewhere', async () => {
    await demo.killRelay('901b')
    await waitUntil('the link is down', async () => {
      const { links } = await seenBy('900a')
      return links.some(({ from, to, isUp }) => from.startsWith('fra1') && to.startsWith('nyc2') && !isUp)
    })
    await demo.drainRegions('syd')
    await waitUntil('the region is drained', async () => {
      const { regions } = await seenBy('900a')
      return regions.some(({ code, state }) => code === 'syd' && state === 'draining')
    })
    await waitUntil('all clients are connected again', () => demo.connected === 44)
  })
})

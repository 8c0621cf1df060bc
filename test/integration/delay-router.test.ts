// The router that other tests delay packets with: what it is set to is what programs on its hosts measure.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canDelayPackets, DelayRouter } from '../support/delay-router.ts'
import { Lab, type LabHost } from '../support/lab.ts'
import { runOk } from '../support/process.ts'

/** Round trips to a port at which nobody listens: the other host's kernel refuses the connection, so no program is timed. */
const PING = `
const { connect } = require('node:net')
const [host, count] = process.argv.slice(1)
;(async () => {
  const times = []
  for (let i = 0; i < Number(count); i++) {
    const startMs = performance.now()
    await new Promise((resolve) => connect({ host, port: 9 }).on('error', resolve))
    times.push(performance.now() - startMs)
  }
  console.log(times.sort((a, b) => a - b)[times.length >> 1])
})()`

describe.skipIf(!(await canDelayPackets()))('a router', () => {
  let lab: Lab
  let router: DelayRouter
  let [alice, bob, cathy]: readonly LabHost[] = []

  beforeAll(async () => {
    lab = await Lab.make('alice.lab', 'bob.lab', 'cathy.lab')
    router = await DelayRouter.make(lab)
    ;[alice, bob, cathy] = lab.hosts
  })

  afterAll(async () => {
    await router?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  async function medianMs(from: LabHost, address: string, count = 15): Promise<number> {
    return Number(await runOk(...from.command('node', '-e', PING, address, `${count}`)))
  }

  /** The demand of what is measured through it: 10 % or 1 ms. */
  function expectDelay(measuredMs: number, setMs: number): void {
    expect(Math.abs(measuredMs - setMs)).toBeLessThanOrEqual(Math.max(1, 0.1 * setMs))
  }

  test('each path has its own delay, over both families, and it can be changed', async () => {
    if (alice === undefined || bob === undefined || cathy === undefined) throw new Error('no hosts')
    router.setRoundTrip(alice, bob, 20)
    router.setRoundTrip(alice, cathy, 80)
    expectDelay(await medianMs(alice, bob.address), 20)
    expectDelay(await medianMs(alice, bob.address6), 20)
    expectDelay(await medianMs(cathy, alice.address), 80)
    expectDelay(await medianMs(bob, cathy.address), 0)
    router.setRoundTrip(alice, bob, 5)
    router.setPath(bob, alice, { delayMs: 40 })
    expectDelay(await medianMs(alice, bob.address), 42.5)
  })

  test('kinds of packets can be blocked', async () => {
    if (alice === undefined || bob === undefined) throw new Error('no hosts')
    router.setRoundTrip(alice, bob, 0, { blocked: ['udp', 'ipv6'] })
    expectDelay(await medianMs(alice, bob.address), 0)
    const before = router.count(alice, bob)
    const ping = medianMs(alice, bob.address6, 1)
    await expect(
      Promise.race([ping, new Promise((resolve) => setTimeout(resolve, 500, 'waits'))]),
    ).resolves.toBe('waits')
    expect(router.count(alice, bob).dropped).toBeGreaterThan(before.dropped)
    // A SYN is sent again after a second.
    router.setRoundTrip(alice, bob, 0, { blocked: [] })
    await ping
  })
})

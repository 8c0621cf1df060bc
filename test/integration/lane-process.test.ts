// The lane of a relay in a process of its own, with real wireguard-go peers: the relay is killed; sessions are renewed; fifty peers.
// All but the first take minutes and run with LANE_LONG=1.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KeyPair } from '#protocol/node-key.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { lanePeer, type RosterLine } from '../support/lane-lab.ts'
import { LaneProcess } from '../support/lane-process.ts'
import { canMakeNetworks } from '../support/network.ts'
import { waitUntil } from '../support/process.ts'
import { wireguardKey, type WireguardPeer } from '../support/wireguard.ts'

const found = await foreignPrograms('wireguard', 'wireguard-tools')
const isPossible = 'paths' in found && (await canMakeNetworks())
if ('paths' in found && !isPossible)
  process.stderr.write('SKIPPING tests of the lane of a process: not root, or no network namespaces\n')
const program = 'paths' in found ? found.paths.wireguard : ''
const isLong = process.env['LANE_LONG'] === '1'

const PAIRS = 25
const addressOf = (n: number): string => `198.19.3.${n + 1}`
const keys = Array.from({ length: 2 * PAIRS }, wireguardKey)
/** Each even one with the next. */
const ROSTER: readonly RosterLine[] = keys.map((key, n) => ({
  name: `peer${n}`,
  key,
  links: n % 2 === 0 ? [] : [`peer${n - 1}`],
}))

describe.runIf(isPossible)('a relay in a process of its own', () => {
  let lab: Lab
  let relay: LaneProcess
  const peers: WireguardPeer[] = []

  async function startPeers(count: number): Promise<void> {
    const lane = { key: relay.files.key.publicKey, at: relay.at }
    for (let n = peers.length; n < count; n++) {
      const other = n ^ 1
      const host = lab.hosts[n % 2]
      if (host === undefined) throw new Error('no host')
      const of = (at: number): KeyPair => keys[at] as KeyPair
      const peerList = [{ key: of(other).publicKey, address: addressOf(other) }]
      peers.push(await lanePeer({ program, host, key: of(n), address: addressOf(n), lane, peers: peerList }))
    }
  }

  beforeAll(async () => {
    lab = await Lab.make('alice', 'bob')
    relay = await LaneProcess.start(lab, ROSTER)
    await startPeers(2)
    await relay.here(2)
    await peers[0]?.firstAnswer(addressOf(1))
  })

  afterAll(async () => {
    await Promise.all(peers.map(async (peer) => await peer[Symbol.asyncDispose]()))
    await relay?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  it('is killed, and peers go on where they were when it is there again', { timeout: 60_000 }, async () => {
    const pings = peers[0]?.ping(addressOf(1), { count: 100, everyS: 0.1 })
    await sleep(1_000)
    relay.process?.signal('SIGKILL')
    const beganMs = performance.now()
    await relay.process?.exited
    await relay.start()
    const awayMs = performance.now() - beganMs
    const { sent = 0, received = 0 } = (await pings) ?? {}
    const lost = sent - received
    process.stdout.write(
      `kill -9: started again within ${Math.round(awayMs)} ms; ${lost} of ${sent} pings lost\n`,
    )
    expect(100 * lost).toBeLessThan(awayMs + 2_000)
    await relay.here(2)
  })

  describe.runIf(isLong)('for minutes', () => {
    it('renews sessions without a loss', { timeout: 240_000 }, async () => {
      const results = await Promise.all([
        peers[0]?.ping(addressOf(1), { count: 750, everyS: 0.2 }),
        peers[1]?.ping(addressOf(0), { count: 750, everyS: 0.2 }),
      ])
      process.stdout.write(`rekey: ${JSON.stringify(results)}\n`)
      expect(results).toEqual([
        { sent: 750, received: 750 },
        { sent: 750, received: 750 },
      ])
    })

    it('serves fifty peers, and knows them after a restart', { timeout: 300_000 }, async () => {
      await startPeers(2 * PAIRS)
      await relay.here(2 * PAIRS)
      const even = peers.filter((_, n) => n % 2 === 0)
      const answering = async (): Promise<number> => {
        const results = await Promise.all(
          even.map(async (peer, n) => await peer.ping(addressOf(2 * n + 1), { count: 3, everyS: 0.5 })),
        )
        return results.filter(({ received }) => received > 0).length
      }
      await waitUntil('all reach each other', async () => (await answering()) === PAIRS, 60_000)
      await relay.process?.stop()
      await relay.start()
      const at = performance.now()
      expect(await answering()).toBe(PAIRS)
      const series = 'derp_lane_probes_total{result="answered"}'
      await waitUntil(
        'all have proven themselves again',
        async () => (await relay.sample(series)) >= 2 * PAIRS,
      )
      process.stdout.write(
        `fifty peers: all proven ${Math.round(performance.now() - at)} ms after the restart\n`,
      )
    })
  })
})

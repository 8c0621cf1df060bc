// Stock WireGuard peers on the lane, behind NATs that give them a new address in the middle: the one that sends, and the one that only
// answers.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { foreignPrograms } from '../../support/foreign.ts'
import { canMakeNetworks } from '../../support/network.ts'
import { findOnPath } from '../../support/system-program.ts'
import type { LabEnd } from '../../support/vpn-lab.ts'
import { LANE_INSIDE, LanePair } from './lane-pair.ts'
import { firstPing, Pings, say } from './measures.ts'

const programs = await foreignPrograms('wireguard', 'wireguard-tools')
const needed = await Promise.all(['ping', 'iptables', 'conntrack'].map(findOnPath))
const canRun = (await canMakeNetworks()) && 'paths' in programs && needed.every((path) => path !== undefined)
if (!canRun)
  process.stderr.write(
    'SKIPPING peers of the lane behind NATs: they need root, wireguard, wg, ping, iptables and conntrack\n',
  )

/** In place of WireGuard's usual 25 s: who only answers is found again by its next keepalive. */
const KEEPALIVE_S = 5

describe.skipIf(!canRun)('peers of the lane behind NATs', () => {
  let pair: LanePair
  let pings: Pings

  beforeAll(async () => {
    if (!('paths' in programs)) throw new Error('no wireguard')
    pair = await LanePair.start(programs.paths.wireguard, KEEPALIVE_S)
    const { lab } = pair.relay
    for (const end of ['alice', 'bob'] as const) await lab.setNat(end, 'symmetric')
    await firstPing(lab, LANE_INSIDE.bob, 60_000)
    pings = await Pings.start(lab, LANE_INSIDE.bob)
  }, 120_000)

  afterAll(async () => {
    await pings?.stop()
    await pair?.[Symbol.asyncDispose]()
  })

  /** The ports that a router shows the relay for the packets of its host. */
  async function ports(end: LabEnd): Promise<string> {
    const router = end === 'alice' ? 'aliceRouter' : 'bobRouter'
    const list = await pair.relay.lab.run(router, 'conntrack', '-L', '-p', 'udp', '--orig-port-dst', '51820')
    return [...list.matchAll(/dst=198\.18\.[12]\.2 .*dport=(\d+)/g)].map(([, port]) => port).join(' ')
  }

  /** The longest pause of the pings around a change, in seconds. */
  async function pauseOf(change: () => Promise<void>): Promise<number> {
    await sleep(1_000)
    const from = Date.now() / 1_000 - 0.5
    await change()
    await sleep((KEEPALIVE_S + 3) * 1_000)
    return pings.longestGap(from)
  }

  async function newMapping(end: LabEnd): Promise<number> {
    const before = await ports(end)
    const gap = await pauseOf(async () => await pair.relay.lab.forgetMappings(end))
    expect(await ports(end)).not.toBe(before)
    expect(before).toMatch(/^\d/)
    say(`the NAT of ${end} has a new port: ${gap.toFixed(2)} s without answers`)
    expect(pings.answers.at(-1)?.at).toBeGreaterThan(Date.now() / 1_000 - 1)
    return gap
  }

  test('the one that sends loses nothing to speak of', { timeout: 60_000 }, async () => {
    expect(await newMapping('alice')).toBeLessThanOrEqual(2)
  })

  test('the one that answers is found by its next keepalive', { timeout: 60_000 }, async () => {
    expect(await newMapping('bob')).toBeLessThanOrEqual(KEEPALIVE_S + 2)
  })

  test('and so it is when its WireGuard has another port', { timeout: 60_000 }, async () => {
    const gap = await pauseOf(async () => await pair.peers.bob?.set('listen-port', '41235'))
    say(`the WireGuard of bob has a new port: ${gap.toFixed(2)} s without answers`)
    expect(gap).toBeLessThanOrEqual(KEEPALIVE_S + 2)
    expect(pings.answers.at(-1)?.at).toBeGreaterThan(Date.now() / 1_000 - 1)
  })
})

// Holes in NATs, for real WireGuard between two hosts of which neither can be reached: which kinds of NAT let packets pass
// directly, what happens to large ones, and to all of them when the direct way dies.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { foreignPrograms } from '../../support/foreign.ts'
import { canMakeNetworks } from '../../support/network.ts'
import { findOnPath } from '../../support/system-program.ts'
import type { LabEnd, Nat } from '../../support/vpn-lab.ts'
import { firstPing, Pings, say, transfer } from './measures.ts'
import { BRIDGE_PORT, INSIDE, Tunnel, type TunnelOptions } from './tunnel.ts'

const programs = await foreignPrograms('wireguard', 'wireguard-tools')
const needed = await Promise.all(['ping', 'iptables', 'conntrack'].map(findOnPath))
const canRun = (await canMakeNetworks()) && 'paths' in programs && needed.every((path) => path !== undefined)
if (!canRun)
  process.stderr.write(
    'SKIPPING direct ways of bridges: they need root, wireguard, wg, ping, iptables and conntrack\n',
  )

/** Who sends the packets: WireGuard itself, or the bridge. */
type Direct = 'native' | 'direct'
const NATIVE = { alice: 'native', bob: 'native' } as const
const CARRIED = { alice: 'direct', bob: 'direct' } as const
const ENDS = ['alice', 'bob'] as const

/** Longer than holes take where they can be made at all. */
const NO_HOLE_MS = 5_000

describe.skipIf(!canRun)('where neither host can be reached', () => {
  let tunnel: Tunnel | undefined

  afterEach(async () => {
    await tunnel?.[Symbol.asyncDispose]()
    tunnel = undefined
  })

  async function made(options: Partial<TunnelOptions> = {}): Promise<Tunnel> {
    if (!('paths' in programs)) throw new Error('no wireguard')
    const endpoint = `127.0.0.1:${BRIDGE_PORT}`
    const { wireguard } = programs.paths
    tunnel = await Tunnel.make({ wireguard, endpoint, isBobPassive: false, ...options })
    await tunnel.lab.setDirect(true)
    return tunnel
  }

  async function setNats(it: Tunnel, alice: Nat, bob: Nat): Promise<void> {
    await it.lab.setNat('alice', alice)
    await it.lab.setNat('bob', bob)
  }

  async function startBridges(it: Tunnel): Promise<void> {
    await Promise.all([it.startBridge('alice'), it.startBridge('bob')])
  }

  /** Both sides send to each other past the relay. A try that fails is followed by another one after half a minute. */
  async function untilDirect(it: Tunnel, ways: Readonly<Record<LabEnd, Direct>>): Promise<void> {
    for (const end of ENDS) {
      await expect
        .poll(async () => (await it.status(end)).peers[0]?.way, { timeout: 60_000, interval: 300 })
        .toBe(ways[end])
    }
  }

  /** Cuts UDP for a while, beside pings: the relay takes over within 6 s, and almost nothing is lost at the return. */
  async function cutAndRestore(
    it: Tunnel,
    ways: Readonly<Record<LabEnd, Direct>>,
    cutMs: number,
  ): Promise<void> {
    const pings = await Pings.start(it.lab, INSIDE.bob)
    await sleep(3_000)
    const cut = Date.now() / 1_000
    await it.lab.dropUdp(true)
    await sleep(cutMs)
    const whileCut = pings.longestGap(cut - 1)
    expect((await it.status('alice')).peers[0]?.way).toBe('relay')
    const restored = Date.now() / 1_000
    await it.lab.dropUdp(false)
    await untilDirect(it, ways)
    await sleep(2_000)
    const whenBack = pings.longestGap(restored)
    say(
      `${whileCut.toFixed(2)} s without packets when the direct way is cut, ${whenBack.toFixed(2)} s at its return`,
    )
    expect(whileCut).toBeLessThanOrEqual(6)
    expect(whenBack).toBeLessThanOrEqual(1)
    await pings.stop()
  }

  const MATRIX: readonly (readonly [Nat, Nat, 'direct' | 'relay'])[] = [
    ['restricted', 'restricted', 'direct'],
    ['full', 'symmetric', 'direct'],
    ['restricted', 'symmetric', 'relay'],
    ['symmetric', 'symmetric', 'relay'],
    ['noudp', 'restricted', 'relay'],
  ]

  test.each([
    ["WireGuard's own port", NATIVE, MATRIX],
    ["the bridges' ports", CARRIED, MATRIX.slice(0, 2)],
    ['one kind of port each', { alice: 'native', bob: 'direct' }, MATRIX.slice(0, 1)],
  ] as const)(
    'the kinds of NAT decide for %s, as predicted, and packets pass in any case',
    { timeout: 180_000 },
    async (_, ways, matrix) => {
      const it = await made({ withoutKoffi: ENDS.filter((end) => ways[end] === 'direct') })
      for (const [alice, bob, predicted] of matrix) {
        const expected = predicted === 'direct' ? ways.alice : predicted
        await setNats(it, alice, bob)
        const startMs = performance.now()
        await startBridges(it)
        if (expected === 'relay') await sleep(NO_HOLE_MS)
        else await untilDirect(it, ways)
        const tookS = ((performance.now() - startMs) / 1_000).toFixed(1)
        await firstPing(it.lab, INSIDE.bob)
        await it.lab.run('alice', 'ping', '-c', '1', '-W', '2', INSIDE.bob)
        const before = (await it.status('alice')).peers[0]
        await it.lab.run('alice', 'ping', '-c', '5', '-i', '0.2', '-W', '2', INSIDE.bob)
        const after = (await it.status('alice')).peers[0]
        say(`${alice} / ${bob}: ${after?.way}, ${tookS} s after the start, ${JSON.stringify(after?.direct)}`)
        expect(`${alice} / ${bob}: ${after?.way}`).toBe(`${alice} / ${bob}: ${expected}`)
        const carried = (after?.bytesDirectOut ?? 0) - (before?.bytesDirectOut ?? 0)
        const relayed = (after?.bytesToRelay ?? 0) - (before?.bytesToRelay ?? 0)
        expect([carried >= 500, relayed >= 500]).toEqual([expected === 'direct', expected === 'relay'])
        await Promise.all([it.bridges.alice?.stop(), it.bridges.bob?.stop()])
      }
    },
  )

  test(
    'packets that are too large to pass directly take the relay; when the direct way dies, all do',
    { timeout: 180_000 },
    async () => {
      const it = await made({ withoutKoffi: ENDS })
      await setNats(it, 'restricted', 'restricted')
      // The middle tracks no connections, which would put fragments together before.
      await it.lab.run('middle', 'iptables', '-t', 'raw', '-A', 'PREROUTING', '-f', '-j', 'DROP')
      for (const end of ENDS) await it.lab.run(end, 'ip', 'link', 'set', it.interfaces[end], 'mtu', '1500')
      await startBridges(it)
      await firstPing(it.lab, INSIDE.bob)
      await untilDirect(it, CARRIED)
      await expect
        .poll(async () => (await it.status('alice')).peers[0]?.direct?.bytesMax, { timeout: 10_000 })
        .toBe(1_472)
      const large = ['-c', '5', '-i', '0.2', '-W', '2', '-M', 'do', '-s', '1472', INSIDE.bob]
      expect(await it.lab.run('alice', 'ping', ...large)).toContain(' 5 received')
      const { isEqual, ms } = await transfer(it.lab, INSIDE.bob, 20_000_000)
      expect(isEqual).toBe(true)
      say(`20 MB with packets of 1,500 bytes in ${(ms / 1_000).toFixed(1)} s`)

      await cutAndRestore(it, CARRIED, 8_000)
    },
  )

  test(
    "a hole for WireGuard's own port is left when it dies, and made again",
    { timeout: 180_000 },
    async () => {
      const it = await made()
      await setNats(it, 'restricted', 'restricted')
      await startBridges(it)
      await untilDirect(it, NATIVE)
      await firstPing(it.lab, INSIDE.bob)
      const { isEqual, ms } = await transfer(it.lab, INSIDE.bob, 100_000_000)
      expect(isEqual).toBe(true)
      say(`100 MB by WireGuard itself through the hole in ${(ms / 1_000).toFixed(1)} s`)
      await cutAndRestore(it, NATIVE, 9_000)
    },
  )
})

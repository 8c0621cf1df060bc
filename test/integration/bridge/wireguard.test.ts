// Real WireGuard (wireguard-go, wg, wg-quick) over the relay, between two hosts in network namespaces. BRIDGE_LONG=1 takes the times
// that operators ask for: UDP is cut for 25 s, nothing may switch in ten minutes (BRIDGE_LONG_S=600) each of one-way UDP, idle and full
// load, and a way up is overloaded for a minute.

import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { residentBytes } from '../../../bench/process-stats.ts'
import { foreignPrograms } from '../../support/foreign.ts'
import { canMakeNetworks } from '../../support/network.ts'
import { runOk } from '../../support/process.ts'
import { findOnPath } from '../../support/system-program.ts'
import { firstPing, pausedBy, Pings, say, transfer } from './measures.ts'
import { BRIDGE_PORT, INSIDE, NATIVE, Tunnel, type TunnelOptions } from './tunnel.ts'

const programs = await foreignPrograms('wireguard', 'wireguard-tools')
const needed = await Promise.all(['ping', 'iptables'].map(findOnPath))
const canRun = (await canMakeNetworks()) && 'paths' in programs && needed.every((path) => path !== undefined)
if (!canRun)
  process.stderr.write('SKIPPING WireGuard by bridge: it needs root, wireguard, wg, ping and iptables\n')
const isLong = process.env['BRIDGE_LONG'] === '1'
const CUT_MS = isLong ? 25_000 : 12_000
const STEADY_MS = isLong ? Number(process.env['BRIDGE_LONG_S'] ?? 600) * 1_000 : 6_000
const FLOOD_MS = isLong ? 60_000 : 8_000
const MINUTES_MS = isLong ? 900_000 : 120_000

describe.skipIf(!canRun)('WireGuard', () => {
  let tunnel: Tunnel | undefined

  afterEach(async () => {
    await tunnel?.[Symbol.asyncDispose]()
    tunnel = undefined
  })

  async function made(options: Partial<TunnelOptions>): Promise<Tunnel> {
    if (!('paths' in programs)) throw new Error('no wireguard')
    tunnel = await Tunnel.make({
      wireguard: programs.paths.wireguard,
      endpoint: `127.0.0.1:${BRIDGE_PORT}`,
      isBobPassive: true,
      ...options,
    })
    return tunnel
  }

  test(
    'by the relay alone: 100 MB arrive equal, and restarts of bridge, relay and WireGuard cost two seconds at most',
    { timeout: 180_000 },
    async () => {
      const it = await made({})
      await it.startBridge('bob')
      await it.startBridge('alice')
      expect(await firstPing(it.lab, INSIDE.bob)).toBeLessThan(6_000)
      await it.lab.run('alice', 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1392', INSIDE.bob)
      const { isEqual, ms } = await transfer(it.lab, INSIDE.bob, 100_000_000)
      expect(isEqual).toBe(true)
      say(`100 MB by the relay in ${(ms / 1_000).toFixed(1)} s`)
      const pings = await Pings.start(it.lab, INSIDE.bob)
      const paused = async (what: string, action: () => Promise<void>): Promise<void> => {
        expect(await pausedBy(pings, what, action)).toBeLessThanOrEqual(2)
      }
      await paused("alice's bridge is killed", async () => {
        it.bridges.alice?.signal('SIGKILL')
        await it.bridges.alice?.exited
        await it.startBridge('alice')
      })
      await paused("bob's bridge is stopped", async () => {
        await it.bridges.bob?.stop()
        await it.startBridge('bob')
      })
      await paused('the relay is killed', async () => await it.relay.restart())
      await paused("alice's WireGuard changes its port", async () => {
        await it.wg('alice', 'set', 'listen-port', '0')
      })
      await pings.stop()
    },
  )

  test(
    'UDP is cut in the middle: packets go on by the relay and come back without loss; the server is never set',
    { timeout: MINUTES_MS },
    async () => {
      const it = await made({ endpoint: NATIVE })
      await it.lab.setDirect(true)
      const calls = join(it.folder, 'wg-calls')
      await writeFile(join(it.folder, 'wg'), `#!/bin/sh\necho "$*" >>${calls}\nexec /usr/bin/wg "$@"\n`)
      await chmod(join(it.folder, 'wg'), 0o755)
      await it.startBridge('bob', it.folder)
      await it.startBridge('alice')
      await firstPing(it.lab, INSIDE.bob)
      const pings = await Pings.start(it.lab, INSIDE.bob)
      await sleep(3_000)
      expect(await it.endpoint('alice')).toBe(NATIVE)
      await it.lab.dropUdp(true)
      await sleep(CUT_MS)
      expect(await it.endpoint('alice')).toMatch(/^127\.0\.0\.1:/)
      expect(await it.endpoint('bob')).toMatch(/^127\.0\.0\.1:/)
      const whileCut = pings.longestGap()
      say(`${whileCut.toFixed(1)} s without packets when UDP is cut`)
      expect(whileCut).toBeLessThanOrEqual(6)
      await it.lab.dropUdp(false)
      const restored = Date.now() / 1_000
      await expect
        .poll(async () => await it.endpoint('alice'), { timeout: 60_000, interval: 500 })
        .toBe(NATIVE)
      const back = Date.now() / 1_000 - restored
      await sleep(3_000)
      say(`native again ${back.toFixed(1)} s after, longest pause ${pings.longestGap(restored).toFixed(2)} s`)
      expect(pings.longestGap(restored)).toBeLessThan(0.5)
      expect(await it.endpoint('bob')).toMatch(/^198\.18\./)
      await pings.stop()
      expect(await readFile(calls, 'utf8')).not.toContain('set')
    },
  )

  /** A minute or ten of one kind of traffic, which must not look like a dead way. */
  const WATCHED: Readonly<Record<string, (it: Tunnel) => Promise<void>>> = {
    'one-way UDP': async (it) => await oneWayUdp(it, STEADY_MS),
    idle: async () => await sleep(STEADY_MS),
    'full load': async (it) => {
      for (const end = Date.now() + STEADY_MS; Date.now() < end;)
        await transfer(it.lab, INSIDE.bob, 200_000_000)
    },
  }

  test.each(Object.keys(WATCHED))('no false switch: %s', { timeout: MINUTES_MS }, async (kind) => {
    const it = await made({ endpoint: NATIVE })
    await it.lab.setDirect(true)
    await it.startBridge('bob')
    await it.startBridge('alice')
    await firstPing(it.lab, INSIDE.bob)
    await WATCHED[kind]?.(it)
    expect(it.bridges.alice?.output).not.toContain('take the relay')
    const { peers } = await it.status('alice')
    say(`${STEADY_MS / 1_000} s of ${kind}: ${JSON.stringify(peers[0])}`)
    expect(peers).toMatchObject([{ way: 'native', switches: 0, isBridgeHeard: expect.any(Boolean) }])
  })

  test(
    'twice as much UDP as fits up the way: pings stay quick and memory stays',
    { timeout: 120_000 },
    async () => {
      const it = await made({})
      await it.startBridge('bob')
      await it.startBridge('alice')
      await firstPing(it.lab, INSIDE.bob)
      await it.lab.limitUp('alice', '20mbit')
      await oneWayUdp(it, 2_000, 42)
      const pid = it.bridges.alice?.pid ?? 0
      const before = await residentBytes(pid)
      const pings = await Pings.start(it.lab, INSIDE.bob)
      await oneWayUdp(it, FLOOD_MS, 42)
      const times = pings.answers.map(({ ms }) => ms)
      await pings.stop()
      const grown = ((await residentBytes(pid)) - before) / 1e6
      say(
        `40 Mbit/s into 20: ping p50 ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms of ${times.length}, memory ${grown.toFixed(1)} MB more`,
      )
      expect(times.length).toBeGreaterThan(20)
      // The short run shares the machine with other tests.
      expect(percentile(times, isLong ? 0.99 : 0.95)).toBeLessThanOrEqual(isLong ? 300 : 1_000)
      expect(grown).toBeLessThan(30)
      expect((await it.status('alice')).peers[0]?.droppedToRelay).toBeGreaterThan(1_000)
    },
  )

  test('with a full tunnel by wg-quick the bridge stays outside of it', { timeout: 120_000 }, async () => {
    const it = await made({ endpoint: NATIVE, allowedIps: '0.0.0.0/0', isQuick: true })
    await it.lab.setDirect(true)
    await it.startBridge('bob')
    await it.startBridge('alice')
    await firstPing(it.lab, INSIDE.bob)
    await it.lab.dropUdp(true)
    const pings = await Pings.start(it.lab, INSIDE.bob)
    await expect.poll(async () => await it.endpoint('alice'), { timeout: 30_000 }).toMatch(/^127\.0\.0\.1:/)
    await sleep(5_000)
    expect(pings.answers.length).toBeGreaterThan(30)
    expect(it.bridges.alice?.output.match(/not connected/g) ?? []).toEqual([])
    await pings.stop()
    await it.bridges.alice?.stop()
    expect(await it.lab.run('alice', 'ip', 'rule')).not.toContain('5190')
    expect(await it.endpoint('alice')).toBe(NATIVE)
  })
})

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN
}

/** @param packets of 1,200 bytes, each 10 ms */
async function oneWayUdp({ lab }: Tunnel, ms: number, packets = 10): Promise<void> {
  const script = `
const socket = require('node:dgram').createSocket('udp4')
const end = Date.now() + Number(process.argv[2])
const packet = Buffer.alloc(1200)
;(function next() {
  if (Date.now() > end) return socket.close()
  for (let i = 0; i < ${packets}; i++) socket.send(packet, 7001, process.argv[1])
  setTimeout(next, 10)
})()`
  // Somebody listens, or the answers would be ICMP errors.
  const sink = await lab.start(
    'bob',
    { readyWhen: /listening/ },
    process.execPath,
    '-e',
    `require('node:dgram').createSocket('udp4').on('message', () => 0).bind(7001, () => console.log('listening'))`,
  )
  const [command, args] = lab.command('alice', process.execPath, '-e', script, INSIDE.bob, `${ms}`)
  await runOk(command, args, { timeoutMs: ms + 30_000 })
  await sink.stop()
}

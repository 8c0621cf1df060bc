// The command that compares VPNs over one relay and prints a Markdown table: WireGuard by bridges, Tailscale, and WireGuard's own
// way beside them, between two network namespaces. Everything shares the processors of this machine, both VPNs, both
// bridges, the relay and iperf3, so throughputs are floors: compare them with each other only.

import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { foreignPrograms } from '../../test/support/foreign.ts'
import type { RunningProcess } from '../../test/support/process.ts'
import { MIDDLE, type VpnLab } from '../../test/support/vpn-lab.ts'
import { firstPing } from '../../test/integration/bridge/measures.ts'
import { BRIDGE_PORT, INSIDE, NATIVE, Tunnel } from '../../test/integration/bridge/tunnel.ts'
import { describeCommit, describeMachine } from '../machine.ts'
import { markdownTable } from '../markdown-table.ts'
import { cpuSeconds } from '../process-stats.ts'
import { startTailscale, type Tailscale, type TailscalePrograms } from './tailscale.ts'

const USAGE = `usage: node bench/vpn/run.ts [--seconds N] [--rounds N]
Measures TCP by iperf3 and pings, idle and under load. Needs root, iperf3, and what npm run foreign builds.
`

interface Way {
  readonly name: string
  readonly address: string
  /** Whose CPU time is shown. */
  readonly processes: Readonly<Record<string, RunningProcess | undefined>>
  readonly before?: () => Promise<void>
}

interface Measured {
  readonly megabits: number
  readonly idleMs: number
  readonly loadedMs: number
  /** Seconds of CPU time for each gigabyte, by process. */
  readonly cpu: Readonly<Record<string, number>>
}

async function measure(lab: VpnLab, way: Way, seconds: number): Promise<Measured> {
  await way.before?.()
  await firstPing(lab, way.address, 60_000)
  const idleMs = medianPing(await lab.run('alice', 'ping', '-q', '-c', '30', '-i', '0.05', way.address))
  const server = await lab.start(
    'bob',
    { readyWhen: /listening/ },
    'iperf3',
    '-s',
    '-1',
    '-B',
    way.address,
    '--forceflush',
  )
  const before = await cpuOf(way)
  const pings = lab.run('alice', 'ping', '-q', '-c', `${seconds * 4}`, '-i', '0.2', way.address)
  const text = await lab.run('alice', 'iperf3', '-J', '-c', way.address, '-t', `${seconds}`)
  const after = await cpuOf(way)
  const loadedMs = medianPing(await pings)
  await server.stop()
  const { bytes, bits_per_second: bits } = JSON.parse(text).end.sum_received as {
    bytes: number
    bits_per_second: number
  }
  const cpu = Object.fromEntries(
    Object.keys(after).map((name) => [name, ((after[name] ?? 0) - (before[name] ?? 0)) / (bytes / 1e9)]),
  )
  return { megabits: bits / 1e6, idleMs, loadedMs, cpu }
}

/** The mean: ping prints no median. */
function medianPing(output: string): number {
  return Number(/= [\d.]+\/([\d.]+)\//.exec(output)?.[1] ?? Number.NaN)
}

async function cpuOf({ processes }: Way): Promise<Record<string, number>> {
  const all = Object.entries(processes).map(
    async ([name, one]) => [name, await cpuSeconds(one?.pid ?? 0)] as const,
  )
  return Object.fromEntries(await Promise.all(all))
}

function waysOf(tunnel: Tunnel, tailscale: Tailscale): readonly Way[] {
  const { relay, bridges, wireguards } = tunnel
  const wg = { 'wireguard A': wireguards.alice, 'wireguard B': wireguards.bob }
  const byBridge = { relay: relay.process, 'bridge A': bridges.alice, 'bridge B': bridges.bob, ...wg }
  const setEndpoint = async (endpoint: string): Promise<void> => {
    await tunnel.lab.setDirect(endpoint === NATIVE)
    await tunnel.wg('alice', 'set', 'peer', tunnel.publicKeyOf('bob'), 'endpoint', endpoint)
  }
  return [
    {
      name: 'WireGuard by bridge and relay',
      address: INSIDE.bob,
      processes: byBridge,
      before: async () => await setEndpoint(`127.0.0.1:${BRIDGE_PORT}`),
    },
    {
      name: 'Tailscale by the same relay',
      address: tailscale.bobAddress,
      processes: { relay: relay.process, 'tailscaled A': tailscale.alice, 'tailscaled B': tailscale.bob },
      before: async () => await tunnel.lab.setDirect(false),
    },
    {
      name: 'WireGuard, its own way',
      address: INSIDE.bob,
      processes: wg,
      before: async () => await setEndpoint(NATIVE),
    },
  ]
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function rowOf({ name }: Way, results: readonly Measured[]): readonly string[] {
  const of = (read: (one: Measured) => number, digits: number): string =>
    median(results.map(read)).toFixed(digits)
  const all = results.map(({ megabits }) => megabits.toFixed(0)).join(', ')
  const names = Object.keys(results[0]?.cpu ?? {})
  const cpu = names.map((one) => `${one} ${of((result) => result.cpu[one] ?? 0, 1)}`).join(', ')
  return [
    name,
    cpu,
    `${of((one) => one.megabits, 0)} (${all})`,
    of((one) => one.idleMs, 1),
    of((one) => one.loadedMs, 0),
  ]
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      rounds: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(USAGE)
  const found = await foreignPrograms('wireguard', 'tailscale', 'tailscaled', 'testcontrol')
  if (!('paths' in found)) throw new Error(found.missing)
  const tunnel = await Tunnel.make({
    wireguard: found.paths.wireguard,
    endpoint: `127.0.0.1:${BRIDGE_PORT}`,
    isBobPassive: true,
  })
  try {
    await compare(tunnel, found.paths, { seconds: Number(values.seconds), rounds: Number(values.rounds) })
  } finally {
    await tunnel[Symbol.asyncDispose]()
  }
}

async function compare(
  tunnel: Tunnel,
  programs: TailscalePrograms,
  { seconds, rounds }: { readonly seconds: number; readonly rounds: number },
): Promise<void> {
  await tunnel.startBridge('bob')
  await tunnel.startBridge('alice')
  const tailscale = await startTailscale(tunnel.relay, programs)
  const ways = waysOf(tunnel, tailscale)
  const results = new Map<Way, Measured[]>(ways.map((way) => [way, []]))
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) {
      const measured = await measure(tunnel.lab, way, seconds)
      results.get(way)?.push(measured)
      process.stderr.write(`${way.name}: ${measured.megabits.toFixed(0)} Mbit/s\n`)
      await sleep(1_000)
    }
  }
  const { cpu, cpuCount, kernel, node } = await describeMachine()
  const rows = ways.map((way) => rowOf(way, results.get(way) ?? []))
  const headings = ['way', 'CPU s/GB', 'TCP Mbit/s', 'ping ms idle', 'ping ms loaded']
  process.stdout.write(
    `${cpuCount} × ${cpu}, ${kernel}, Node ${node}, commit ${await describeCommit()}, relay ${MIDDLE}\n\n`,
  )
  process.stdout.write(`${markdownTable(headings, 2, rows)}\n`)
}

await main()

// One way of packets from alice to bob of a lab, and what is measured of it: TCP by iperf3, pings idle and under load, CPU time of each
// process.

import type { RunningProcess } from '../../test/support/process.ts'
import type { VpnLab } from '../../test/support/vpn-lab.ts'
import { firstPing } from '../../test/integration/bridge/measures.ts'
import { cpuSeconds } from '../process-stats.ts'

export interface Way {
  readonly name: string
  readonly lab: VpnLab
  /** Bob's, in the tunnel. */
  readonly address: string
  /** Whose CPU time is shown; a program that has been restarted is another process. */
  readonly processes: Readonly<Record<string, RunningProcess | undefined>>
  readonly before?: () => Promise<void>
}

export interface Measured {
  readonly megabits: number
  readonly idleMs: number
  readonly loadedMs: number
  /** Seconds of CPU time for each gigabyte, by process. */
  readonly cpu: Readonly<Record<string, number>>
}

export async function measure(way: Way, seconds: number): Promise<Measured> {
  const { lab, address } = way
  await way.before?.()
  await firstPing(lab, address, 60_000)
  const idleMs = meanPing(await lab.run('alice', 'ping', '-q', '-c', '30', '-i', '0.05', address))
  const listen = ['-s', '-1', '-B', address, '--forceflush']
  const server = await lab.start('bob', { readyWhen: /listening/ }, 'iperf3', ...listen)
  const before = await cpuOf(way)
  const pings = lab.run('alice', 'ping', '-q', '-c', `${seconds * 4}`, '-i', '0.2', address)
  const text = await lab.run('alice', 'iperf3', '-J', '-c', address, '-t', `${seconds}`)
  const after = await cpuOf(way)
  const loadedMs = meanPing(await pings)
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

/** The row of a table: medians of the rounds. */
export function rowOf(name: string, results: readonly Measured[]): readonly string[] {
  const of = (read: (one: Measured) => number, digits: number): string =>
    median(results.map(read)).toFixed(digits)
  const all = results.map(({ megabits }) => megabits.toFixed(0)).join(', ')
  const cpu = Object.keys(results[0]?.cpu ?? {}).map(
    (one) => `${one} ${of((result) => result.cpu[one] ?? 0, 1)}`,
  )
  return [
    name,
    cpu.join(', '),
    `${of((one) => one.megabits, 0)} (${all})`,
    of((one) => one.idleMs, 1),
    of((one) => one.loadedMs, 0),
  ]
}

function meanPing(output: string): number {
  return Number(/= [\d.]+\/([\d.]+)\//.exec(output)?.[1] ?? Number.NaN)
}

async function cpuOf({ processes }: Way): Promise<Record<string, number>> {
  const all = Object.entries(processes).map(
    async ([name, one]) => [name, await cpuSeconds(one?.pid ?? 0)] as const,
  )
  return Object.fromEntries(await Promise.all(all))
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

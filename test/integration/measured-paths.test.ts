// What relays measure of the paths to each other and to their clients, beside the delays that a router gives to the packets:
// three regions, clients at home and clients that are at home elsewhere, paths whose directions differ. And what they say
// that they carry, beside what the clients have sent and received.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canDelayPackets, DelayRouter } from '../support/delay-router.ts'
import { join } from 'node:path'
import { Fleet } from '../support/fleet.ts'
import { Lab, type LabHost } from '../support/lab.ts'
import { startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import type { CrowdLine, CrowdPlan } from '../support/crowd.ts'

const CROWD = join(import.meta.dirname, '../support/crowd.ts')
const RELAYS = ['fra.lab', 'nyc.lab', 'syd.lab'] as const
type RelayName = (typeof RELAYS)[number]
const REGION_OF: Readonly<Record<RelayName, number>> = { 'fra.lab': 900, 'nyc.lab': 901, 'syd.lab': 902 }
const NEAR = 'near.lab'
const FAR = 'far.lab'

/** One direction: from, to, and milliseconds. What processes and the router add would show most where the way is short. */
const DELAYS: readonly (readonly [string, string, number])[] = [
  ['fra.lab', 'nyc.lab', 3],
  ['nyc.lab', 'fra.lab', 3],
  ['fra.lab', 'syd.lab', 110],
  ['syd.lab', 'fra.lab', 30],
  ['nyc.lab', 'syd.lab', 10],
  ['syd.lab', 'nyc.lab', 10],
  [NEAR, 'fra.lab', 8],
  ['fra.lab', NEAR, 8],
  [FAR, 'fra.lab', 50],
  ['fra.lab', FAR, 20],
  [FAR, 'nyc.lab', 15],
  ['nyc.lab', FAR, 15],
]
/** The mean that a relay gives is of ten seconds. */
const FLOW_SECONDS = 14
const RATE_WINDOW_MS = 10_000
/** A relay reads the round trip of each client once a minute: of so many, more than one every second. */
const CLIENTS = 60
/** A sibling is asked every five seconds, and each asks three answers or more. */
const patiently = { timeout: 45_000, interval: 500 }
/** On a busy machine, late answers are in a median of the last minute until that is over. */
const FOR_A_MINUTE = { timeout: 75_000, interval: 500 }
const TIMEOUT_MS = 150_000

interface Quality {
  readonly clients: {
    readonly byHomeRegion: readonly {
      readonly label: string
      readonly clients: number
      readonly medianMs: number
    }[]
  }
  readonly throughput: { readonly packetsPerSecond: number; readonly bytesPerSecond: number }
}
interface FleetAnswer {
  readonly matrix: {
    readonly links: readonly { readonly from: string; readonly to: string; readonly rttMedianMs?: number }[]
  }
}

describe.skipIf(!(await canDelayPackets()))('relays', () => {
  let lab: Lab
  let fleet: Fleet
  let router: DelayRouter
  const crowds: RunningProcess[] = []

  beforeAll(async () => {
    lab = await Lab.make(...RELAYS, NEAR, FAR)
    router = await DelayRouter.make(lab)
    for (const [from, to, delayMs] of DELAYS) router.setPath(lab.host(from), lab.host(to), { delayMs })
    const regions = RELAYS.map((host) => {
      const id = REGION_OF[host]
      return `  ${id}: {code: ${host.slice(0, 3)}, nodes: [{name: ${id}a, hostname: ${host}}]}\n`
    })
    fleet = await Fleet.make(`regions:\n${regions.join('')}`)
    await Promise.all(
      RELAYS.map(async (hostname) => {
        const relay = { host: lab.host(hostname), hostname, node: `${REGION_OF[hostname]}a` }
        await fleet.start(relay, '-threads', '2', '-stun=false', '-http-port', '-1', '-countries=false')
      }),
    )
    // Their round trips are read while other clients send.
    await Promise.all([
      crowd(lab.host(NEAR), { groups: [group('fra.lab', 'near', true)], flows: [] }),
      crowd(lab.host(FAR), {
        groups: [group('nyc.lab', 'far', true), group('fra.lab', 'far', false)],
        flows: [],
      }),
    ])
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all(crowds.map(async (crowd) => await crowd.stop()))
    await router?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  /** Starts clients on a host. Returns the lines that they have printed so far. */
  async function crowd(host: LabHost, plan: CrowdPlan): Promise<() => readonly CrowdLine[]> {
    const node = [process.execPath, '--disable-warning=ExperimentalWarning'] as const
    const [command, args] = host.command(...node, CROWD, JSON.stringify(plan))
    const running = await startProcess(command, args, { readyWhen: /^\{/m })
    crowds.push(running)
    return () => {
      const lines = running.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
      return lines.map((line) => JSON.parse(line) as CrowdLine)
    }
  }

  async function page(relay: RelayName, path: string): Promise<unknown> {
    return await (await fetch(`http://${lab.host(relay).address}:9090${path}`)).json()
  }

  /** The demand: 10 % or 1 ms. */
  function isRight(measuredMs: number | undefined, [there, back]: readonly [string, string]): boolean {
    const setMs = delayOf(there, back) + delayOf(back, there)
    return Math.abs((measuredMs ?? -Infinity) - setMs) <= Math.max(1, 0.1 * setMs)
  }

  test('say what they carry, through a link and in both directions', { timeout: TIMEOUT_MS }, async () => {
    const flow = { clients: 5, seconds: FLOW_SECONDS }
    const [near, far] = await Promise.all([
      crowd(lab.host(NEAR), {
        groups: [group('fra.lab', 'here', true, flow.clients)],
        flows: [{ ...flow, from: 'here', to: 'there', packetsPerSecond: 400, packetBytes: 1_000 }],
      }),
      crowd(lab.host(FAR), {
        groups: [group('nyc.lab', 'there', true, flow.clients)],
        flows: [{ ...flow, from: 'there', to: 'here', packetsPerSecond: 250, packetBytes: 300 }],
      }),
    ])
    for (const [relay, other] of [
      ['fra.lab', 'nyc.lab'],
      ['nyc.lab', 'fra.lab'],
    ] as const) {
      const keys = `derp_sibling_keys{sibling="${other}"`
      await waitUntil(
        `${relay} knows the clients of the other`,
        async () => (await fleet.metric(lab.host(relay), keys)) === CLIENTS + flow.clients,
      )
    }
    // Those without flows have nothing to begin.
    for (const running of crowds) running.signal('SIGUSR2')
    // What leaves a relay: to its clients, and over the link.
    for (const [relay, lines] of [
      ['fra.lab', near],
      ['nyc.lab', far],
    ] as const) {
      await expect
        .poll(async () => {
          const { throughput } = (await page(relay, '/quality')) as Quality
          const last = lines()
          const packets = rateOf(last, (line) => line.sentPackets + line.receivedPackets)
          const bytes = rateOf(last, (line) => line.sentBytes + line.receivedBytes)
          return {
            packets: Math.abs(throughput.packetsPerSecond / packets - 1) < 0.01,
            bytes: Math.abs(throughput.bytesPerSecond / bytes - 1) < 0.01,
          }
        }, patiently)
        .toEqual({ packets: true, bytes: true })
    }
    // And every packet is counted, when all are through.
    await waitUntil('both have sent all', () => [near, far].every((lines) => hasEnded(lines())), 30_000)
    const [here, there] = [near().at(-1), far().at(-1)]
    expect([here?.sentPackets, there?.sentPackets]).toEqual([400 * FLOW_SECONDS, 250 * FLOW_SECONDS])
    expect([here?.receivedPackets, there?.receivedPackets]).toEqual([there?.sentPackets, here?.sentPackets])
    for (const [relay, own, other] of [
      ['fra.lab', here, there],
      ['nyc.lab', there, here],
    ] as const) {
      const counted = async (series: string): Promise<number> => await fleet.metric(lab.host(relay), series)
      expect(await counted('derp_received_packets_total{kind="data"}')).toBe(own?.sentPackets)
      expect(await counted('derp_received_bytes_total{kind="data"}')).toBe(own?.sentBytes)
      expect(await counted('derp_mesh_forwarded_packets_total{direction="out"}')).toBe(own?.sentPackets)
      expect(await counted('derp_mesh_forwarded_bytes_total{direction="out"}')).toBe(own?.sentBytes)
      expect(await counted('derp_mesh_forwarded_packets_total{direction="in"}')).toBe(other?.sentPackets)
      expect(await counted('derp_sent_packets_total{kind="data"}')).toBe(other?.sentPackets)
      expect(await counted('derp_sent_bytes_total{kind="data"}')).toBe(other?.sentBytes)
      expect(await counted('derp_dropped_packets_total')).toBe(0)
    }
  })

  test('say the delays of all paths', { timeout: TIMEOUT_MS }, async () => {
    // Each relay answers for the whole fleet.
    for (const relay of RELAYS) {
      await expect
        .poll(async () => {
          const { matrix } = (await page(relay, '/fleet')) as FleetAnswer
          return matrix.links.filter(({ from, to, rttMedianMs }) => isRight(rttMedianMs, [from, to])).length
        }, FOR_A_MINUTE)
        .toBe(6)
    }
    const clients: readonly (readonly [RelayName, string, string])[] = [
      ['fra.lab', '900', NEAR],
      ['fra.lab', '901', FAR],
      ['nyc.lab', '901', FAR],
    ]
    for (const [relay, homeRegion, host] of clients) {
      await expect
        .poll(async () => {
          const {
            clients: { byHomeRegion },
          } = (await page(relay, '/quality')) as Quality
          const region = byHomeRegion.find(({ label }) => label === homeRegion)
          const isKnown = (region?.clients ?? 0) >= 10 && isRight(region?.medianMs, [relay, host])
          return isKnown ? 'right' : `${relay}: ${JSON.stringify(byHomeRegion)}`
        }, patiently)
        .toBe('right')
    }
  })
})

function group(host: RelayName, seed: string, isHome: boolean, count = CLIENTS): CrowdPlan['groups'][number] {
  return { host, seed, count, isHome }
}

/** Per second, over the last ten seconds. */
function rateOf(lines: readonly CrowdLine[], read: (line: CrowdLine) => number): number {
  const last = lines.at(-1)
  const first = lines.findLast(({ atMs }) => atMs <= (last?.atMs ?? 0) - RATE_WINDOW_MS)
  if (first === undefined || last === undefined) return Number.NaN
  return (1_000 * (read(last) - read(first))) / (last.atMs - first.atMs)
}

/** Nothing has come or gone for a second. */
function hasEnded(lines: readonly CrowdLine[]): boolean {
  const [before, last] = [lines.at(-5), lines.at(-1)]
  return before?.sentPackets === last?.sentPackets && before?.receivedPackets === last?.receivedPackets
}

function delayOf(from: string, to: string): number {
  return DELAYS.find(([one, other]) => one === from && other === to)?.[2] ?? Number.NaN
}

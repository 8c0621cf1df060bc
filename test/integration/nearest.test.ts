// `derpfleet nearest` beside the real `tailscale netcheck`, on hosts that reach four regions through a router that delays and
// blocks packets: both find the same home in every setting, and stay or move alike.

import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BlockedKind } from '../support/delay-paths.ts'
import { canDelayPackets, DelayRouter } from '../support/delay-router.ts'
import { Fleet } from '../support/fleet.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab, type LabHost } from '../support/lab.ts'
import { LocalApi } from '../support/local-api.ts'
import { runProcess, startProcess, waitUntil } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const programs = await foreignPrograms('tailscale')
const isPossible = 'paths' in programs && (await canDelayPackets())

const NODES = [
  ['fra1.lab', 'fra', 900, '900a'],
  ['fra2.lab', 'fra', 900, '900b'],
  ['nyc.lab', 'nyc', 901, '901a'],
  ['syd.lab', 'syd', 902, '902a'],
  ['sao.lab', 'sao', 903, '903a'],
] as const
type Code = (typeof NODES)[number][1]
const CODES: readonly Code[] = ['fra', 'nyc', 'syd', 'sao']

const ATTEMPTS_MORE = 2

interface Setting {
  /** Round trips. */
  readonly ms: Readonly<Record<Code, number>>
  /** Kinds of packets that are dropped on the way to and from these hosts. */
  readonly blocked?: Readonly<Record<string, readonly BlockedKind[]>>
  /** Further fields of regions, and of all their nodes. */
  readonly region?: Readonly<Partial<Record<Code, object>>>
  readonly node?: Readonly<Partial<Record<Code, object>>>
  readonly scores?: Readonly<Record<number, number>>
  readonly home: number
}

const ALL = NODES.map(([hostname]) => hostname)
const everywhere = (...kinds: readonly BlockedKind[]): Setting['blocked'] =>
  Object.fromEntries(ALL.map((hostname) => [hostname, kinds]))
const onAll = (fields: object): Setting['node'] => Object.fromEntries(CODES.map((code) => [code, fields]))

const SETTINGS: Readonly<Record<string, Setting>> = {
  'one region is near': { ms: { fra: 10, nyc: 50, syd: 130, sao: 90 }, home: 900 },
  'all are far': { ms: { fra: 220, nyc: 150, syd: 190, sao: 250 }, home: 901 },
  'no delay but at the last': { ms: { fra: 60, nyc: 60, syd: 60, sao: 0 }, home: 903 },
  'UDP is blocked': { ms: { fra: 90, nyc: 30, syd: 150, sao: 120 }, blocked: everywhere('udp'), home: 901 },
  'UDP is blocked to the nearest only': {
    ms: { fra: 40, nyc: 10, syd: 90, sao: 70 },
    blocked: { 'nyc.lab': ['udp'] },
    home: 900,
  },
  'IPv6 is broken': { ms: { fra: 80, nyc: 60, syd: 20, sao: 100 }, blocked: everywhere('ipv6'), home: 902 },
  'IPv4 is broken': { ms: { fra: 70, nyc: 90, syd: 50, sao: 20 }, blocked: everywhere('ipv4'), home: 903 },
  'the first node of the nearest is down': {
    ms: { fra: 10, nyc: 50, syd: 60, sao: 70 },
    blocked: { 'fra1.lab': ['ipv4', 'ipv6'] },
    home: 900,
  },
  'the nearest is drained': {
    ms: { fra: 10, nyc: 80, syd: 50, sao: 110 },
    region: { fra: { NoMeasureNoHome: true } },
    home: 902,
  },
  'the nearest has no STUN': {
    ms: { fra: 10, nyc: 80, syd: 110, sao: 50 },
    node: { fra: { STUNPort: -1 } },
    home: 903,
  },
  'no region has STUN': {
    ms: { fra: 90, nyc: 120, syd: 30, sao: 70 },
    node: onAll({ STUNPort: -1 }),
    home: 902,
  },
  'a score repels the nearest': {
    ms: { fra: 20, nyc: 50, syd: 100, sao: 120 },
    scores: { 900: 4 },
    home: 901,
  },
  'nothing passes': {
    ms: { fra: 10, nyc: 20, syd: 30, sao: 40 },
    blocked: everywhere('ipv4', 'ipv6'),
    home: 0,
  },
}

/** A host that measures, with paths and a map of its own. */
interface Client {
  readonly host: LabHost
  readonly api: LocalApi
}

/** One of each setting, and one that moves: they mostly wait, so they measure side by side. */
const CLIENTS = [...Object.keys(SETTINGS), 'moves'].map((_, at) => `client${at}.lab`)

describe.skipIf(!isPossible)('nearest and netcheck', () => {
  let lab: Lab
  let router: DelayRouter
  let fleet: Fleet
  let clients: readonly Client[] = []

  beforeAll(async () => {
    lab = await Lab.make(...ALL, ...CLIENTS)
    const regions = CODES.map((code) => {
      const nodes = NODES.filter(([, one]) => one === code).map(
        ([host, , , name]) => `{name: ${name}, hostname: ${host}}`,
      )
      const id = NODES.find(([, one]) => one === code)?.[2]
      return `  ${id}: {code: ${code}, nodes: [${nodes.join(', ')}]}\n`
    })
    fleet = await Fleet.make(`regions:\n${regions.join('')}`)
    await Promise.all(
      NODES.map(async ([hostname, , , node]) => {
        await fleet.start({ host: lab.host(hostname), hostname, node }, '-threads', '1')
      }),
    )
    router = await DelayRouter.make(lab)
    clients = await Promise.all(
      CLIENTS.map(async (name) => ({
        host: lab.host(name),
        api: await LocalApi.start(join(fleet.folder, `${name}.sock`)),
      })),
    )
  }, 120_000)

  afterAll(async () => {
    await Promise.all(clients.map(async ({ api }) => await api[Symbol.asyncDispose]()))
    await router?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  function clientAt(at: number): Client {
    const client = clients[at]
    if (client === undefined) throw new Error(`no client ${at}`)
    return client
  }

  function apply({ host }: Client, { ms, blocked = {} }: Setting): void {
    for (const [hostname, code] of NODES) {
      router.setRoundTrip(host, lab.host(hostname), ms[code], { blocked: blocked[hostname] ?? [] })
    }
  }

  function mapOf({ region = {}, node = {}, scores }: Setting): object {
    const regions = CODES.map((code) => {
      const own = NODES.filter(([, one]) => one === code)
      const id = own[0]?.[2]
      const nodes = own.map(([hostname, , , name]) => {
        const { address, address6 } = lab.host(hostname)
        const entry = { Name: name, RegionID: id, HostName: hostname, IPv4: address, IPv6: address6 }
        return Object.assign(entry, node[code])
      })
      return [id, { RegionID: id, RegionCode: code, RegionName: code, Nodes: nodes, ...region[code] }]
    })
    const Regions: object = Object.fromEntries(regions)
    return scores === undefined ? { Regions } : { Regions, HomeParams: { RegionScore: scores } }
  }

  const netcheckArgs = ({ api }: Client): readonly string[] => [
    'env',
    `SSL_CERT_FILE=${fleet.caPath}`,
    'paths' in programs ? programs.paths.tailscale : '',
    '--socket',
    api.socketPath,
    'netcheck',
    '--format=json-line',
  ]

  async function netcheck(client: Client): Promise<Netcheck> {
    const [command = '', ...args] = netcheckArgs(client)
    const { stdout, stderr } = await runProcess(...client.host.command(command, ...args))
    if (!stdout.startsWith('{')) throw new Error(stderr)
    return JSON.parse(stdout) as Netcheck
  }

  async function nearest({ host, api }: Client, ...more: readonly string[]): Promise<Nearest> {
    const path = join(fleet.folder, `${host.name}.json`)
    await writeFile(path, JSON.stringify(api.map))
    const args = ['nearest', '-map', path, '-ca', fleet.caPath, '-json', ...more]
    const { stdout, stderr } = await runProcess(...host.command(PROGRAM, ...args))
    if (!stdout.startsWith('{')) throw new Error(stderr)
    return JSON.parse(stdout) as Nearest
  }

  test.concurrent.each(
    Object.entries(SETTINGS).map(([name, setting], at): [string, Setting, number] => [name, setting, at]),
  )('%s', { timeout: 90_000 }, async (_name, setting, at) => {
    const client = clientAt(at)
    apply(client, setting)
    client.api.map = mapOf(setting)
    const both = async (): Promise<readonly [Netcheck, Nearest]> => [
      await netcheck(client),
      await nearest(client),
    ]
    const homes = ([theirs, ours]: readonly [Netcheck, Nearest]): object => ({
      theirs: theirs.PreferredDERP,
      ours: ours.home?.id ?? 0,
    })
    const expected = { theirs: setting.home, ours: setting.home }
    let found = await both()
    // On a busy machine either program may take a near region for a far one; the other way round is impossible.
    for (let again = 0; again < ATTEMPTS_MORE && !isDeepStrictEqual(homes(found), expected); again++) {
      found = await both()
    }
    const [theirs, ours] = found
    expect(homes(found)).toEqual(expected)
    expect(ours.isUdpBlocked).toBe(!theirs.UDP)
    expect(
      ours.regions
        .filter(({ rank }) => rank !== null)
        .map(({ id }) => `${id}`)
        .toSorted(),
    ).toEqual(Object.keys(theirs.RegionLatency ?? {}).toSorted())
  })

  // Alone: it judges how much nearer a region is.
  test('both stay and move alike', { timeout: 60_000 }, async () => {
    const client = clientAt(CLIENTS.length - 1)
    const far = { syd: 260, sao: 270 }
    const steps: readonly (readonly [fra: number, nyc: number, home: number, reason: string])[] = [
      [120, 180, 900, 'nearest'],
      [120, 96, 900, 'small-ratio'],
      [120, 60, 901, 'moved'],
    ]
    const setting = (fra: number, nyc: number): Setting => ({ ms: { fra, nyc, ...far }, home: 0 })
    apply(client, setting(120, 180))
    client.api.map = mapOf(setting(120, 180))
    const [command = '', ...args] = netcheckArgs(client)
    const running = await startProcess(...client.host.command(command, ...args, '--every=1s'), {
      readyWhen: /"PreferredDERP":900/,
    })
    try {
      let from = 900
      for (const [fra, nyc, home, reason] of steps) {
        apply(client, setting(fra, nyc))
        // The first report after the change may have begun before it.
        const before = reports(running.output).length
        await waitUntil('two more reports', () => reports(running.output).length >= before + 2)
        const ours = await nearest(client, '-from', `${from}`)
        expect({ nyc, home: ours.home?.id, reason: ours.reason }).toEqual({ nyc, home, reason })
        expect(reports(running.output).at(-1)?.PreferredDERP).toBe(home)
        from = home
      }
    } finally {
      await running.stop()
    }
  })
})

interface Netcheck {
  readonly UDP: boolean
  readonly PreferredDERP: number
  readonly RegionLatency: Readonly<Record<string, number>> | null
}

interface Nearest {
  readonly home: { readonly id: number } | null
  readonly reason: string
  readonly isUdpBlocked: boolean
  readonly regions: readonly { readonly id: number; readonly rank: number | null }[]
}

function reports(output: string): readonly Netcheck[] {
  const lines = output.split('\n').slice(0, -1)
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Netcheck)
}

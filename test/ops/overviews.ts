// Overviews for tests: a fleet with something of everything that a page shows, and large and hostile ones.

import type { Overview, OverviewRelay } from '#ops/overview.ts'

const NOW_MS = Date.UTC(2030, 0, 31, 12)
const DAY_MS = 86_400_000

function relay(name: string, node: string, region: number, more: Partial<OverviewRelay> = {}): OverviewRelay {
  return {
    name,
    nodes: [node],
    region,
    isOwn: false,
    state: 'up',
    health: 'ready',
    failing: [],
    clients: 410,
    bytesInPerSecond: 12_400_000,
    bytesOutPerSecond: 12_300_000,
    headroomRatio: 0.82,
    version: '1.2.3',
    certificateNotAfterMs: NOW_MS + 60.5 * DAY_MS,
    ageMs: 2_000,
    ...more,
  }
}

const RELAYS: readonly OverviewRelay[] = [
  relay('fra1.example', '900a', 900, { isOwn: true }),
  relay('fra2.example', '900b', 900, { health: 'notReady', failing: ['stun: silent'] }),
  relay('nyc1.example/10.0.0.3', '901a', 901, { clients: 1_234 }),
  relay('nyc2.example', '901b', 901, {
    state: 'down',
    clients: undefined,
    bytesInPerSecond: undefined,
    bytesOutPerSecond: undefined,
    headroomRatio: undefined,
  }),
  relay('syd1.example', '902a', 902, { state: 'draining', clients: 3 }),
]

const RTTS_MS: Readonly<Record<string, number>> = { '900 901': 84, '900 902': 272, '901 902': 206 }

const MAP = [
  'regions:',
  '  900:',
  '    regionid: 900',
  '    regioncode: fra',
  '    regionname: Frankfurt',
  '    nodes:',
  '      - name: 900a',
  '        regionid: 900',
  '        hostname: fra1.example',
  '        ipv4: 192.0.2.1',
  '',
].join('\n')

function pairOf(one: number, other: number): string {
  return `${Math.min(one, other)} ${Math.max(one, other)}`
}

/** One relay is down, one is not ready, one region is drained. */
export const OVERVIEW: Overview = {
  atMs: NOW_MS,
  hostname: 'fra1.example',
  nodes: ['900a'],
  version: '1.2.3',
  startedMs: NOW_MS - 12 * DAY_MS,
  state: 'serving',
  failing: [],
  clientsLeft: undefined,
  load: {
    clients: 412,
    homeClients: 398,
    bytesInPerSecond: 12_400_000,
    bytesOutPerSecond: 12_300_000,
    packetsInPerSecond: 12_000,
    packetsOutPerSecond: 11_990,
    dropRatio: 0.000_4,
    queueP99Ms: 1.3,
    curve: Array.from({ length: 60 }, (_, at) => ({
      clients: 380 + Math.round(30 * Math.sin(at / 9)),
      bytesPerSecond: 2e7 + 5e6 * Math.sin(at / 4),
    })),
  },
  headroomRatio: 0.82,
  headroomOf: 'threads',
  certificate: {
    hostname: 'fra1.example',
    source: 'acme',
    notBeforeMs: NOW_MS - 30 * DAY_MS,
    notAfterMs: NOW_MS + 60.5 * DAY_MS,
  },
  certificateFailure: undefined,
  majority: { seen: 4, expected: 5, isMajority: true },
  relays: RELAYS,
  links: RELAYS.filter(({ state }) => state !== 'down').flatMap((from) =>
    RELAYS.filter((to) => to !== from).map((to) => ({
      from: from.name,
      to: to.name,
      isUp: to.state !== 'down',
      rttMs: RTTS_MS[pairOf(from.region ?? 0, to.region ?? 0)] ?? 0.7,
      jitterMs: 0.4,
      lossRatio: to.region === 902 ? 0.002 : 0,
    })),
  ),
  regions: [
    {
      id: 900,
      code: 'fra',
      name: 'Frankfurt',
      latitude: 50.1,
      longitude: 8.7,
      state: 'active',
      relays: 2,
      up: 2,
      clients: 820,
    },
    {
      id: 901,
      code: 'nyc',
      name: 'New York',
      latitude: 40.7,
      longitude: -74,
      state: 'active',
      relays: 2,
      up: 1,
      clients: 1_234,
    },
    {
      id: 902,
      code: 'syd',
      name: 'Sydney',
      latitude: -33.9,
      longitude: 151.2,
      state: 'draining',
      relays: 1,
      up: 1,
      clients: 3,
    },
  ],
  events: [
    {
      atMs: NOW_MS - 20_000,
      level: 'warn',
      event: 'fleet_relay_down',
      text: 'relay nyc2.example, reason it has told no state for 26 s',
    },
    { atMs: NOW_MS - 60_000, level: 'info', event: 'regions_changed', text: 'path regions.yaml, regions 3' },
    { atMs: NOW_MS - 90_000, level: 'info', event: 'thread_restarted', text: 'thread 1' },
    { atMs: NOW_MS - 91_000, level: 'error', event: 'thread_died', text: 'thread 1' },
    {
      atMs: NOW_MS - 190_000,
      level: 'info',
      event: 'certificate_replaced',
      text: 'names fra1.example, source acme',
    },
  ],
  map: { text: MAP, version: 'abcdef', isStale: false },
}

/** A hundred relays and more in sixty regions, each linked with each. */
export function largeOverview(count: number): Overview {
  const relays = Array.from({ length: count }, (_, at) =>
    relay(`relay-with-a-long-name-${at}.region-${at % 60}.example.com`, `${at}a`, 900 + (at % 60), {
      isOwn: at === 0,
    }),
  )
  return {
    ...OVERVIEW,
    relays,
    links: relays.slice(0, 40).flatMap((from) =>
      relays.slice(0, 25).map((to) => ({
        from: from.name,
        to: to.name,
        isUp: true,
        rttMs: 123.4,
        jitterMs: 1,
        lossRatio: 0.01,
      })),
    ),
    regions: Array.from({ length: 60 }, (_, at) => ({
      id: 900 + at,
      code: `r${at}`,
      name: `Region number ${at}`,
      latitude: at - 30,
      longitude: at * 5 - 150,
      state: 'active',
      relays: 2,
      up: 2,
      clients: at,
    })),
    events: Array.from({ length: 40 }, () => ({
      atMs: NOW_MS,
      level: 'warn' as const,
      event: 'sibling_down',
      text: 'x'.repeat(240),
    })),
    map: { text: 'y'.repeat(40_000), version: 'abcdef', isStale: false },
  }
}

/** Every text is markup that would be run. */
export function hostileOverview(text: string): Overview {
  return JSON.parse(
    JSON.stringify(OVERVIEW, (key, value: unknown) =>
      typeof value === 'string' && !['state', 'level'].includes(key) ? text : value,
    ),
  ) as Overview
}

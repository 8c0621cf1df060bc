// The sentences for an operator, from measurements that are made up: real ones are in test/integration/nearest.test.ts.

import { expect, test } from 'vitest'
import { HomeChoice } from '#client/home-choice.ts'
import type { Region } from '#fleet/region.ts'
import { counterfactual, remarks, verdict } from '#probe/home-verdict.ts'
import type { MeasuredRegion, NearestReport } from '#probe/nearest.ts'

const CODES = ['', 'fra', 'nyc', 'syd']

interface Case {
  /** Latencies of the regions 1, 2 and 3; undefined: no answer. */
  readonly ms: readonly (number | undefined)[]
  readonly from?: number
  readonly scores?: Readonly<Record<number, number>>
  readonly region?: Partial<Region>
  readonly measured?: Partial<MeasuredRegion>
  readonly isUdpBlocked?: boolean
  readonly v6?: boolean
}

/** The report of such a measurement; `region` and `measured` are fields of the first region. */
function reportOf({
  ms,
  from,
  scores = {},
  region = {},
  measured = {},
  isUdpBlocked = false,
  v6 = true,
}: Case): NearestReport {
  const latencyNs = new Map(ms.flatMap((one, i) => (one === undefined ? [] : [[i + 1, one * 1e6] as const])))
  const choice = new HomeChoice({ nowMs: () => 0, home: from })
  choice.setScores(new Map(Object.entries(scores).map(([id, score]) => [Number(id), score])))
  const decision = choice.choose({ startedMs: 0, latencyNs })
  const regions = ms.map((latencyMs, i): MeasuredRegion => {
    const id = i + 1
    const node = { name: `${id}a`, hostname: 'h', ipv4: '192.0.2.1', ipv6: '2001:db8::1' }
    const own: Region = { id, code: CODES[id] ?? '', name: '', nodes: [node], ...(i === 0 ? region : {}) }
    const times = { v4Ms: latencyMs, v6Ms: latencyMs, httpsMs: latencyMs, loginMs: undefined, latencyMs }
    const score = scores[id] ?? 1
    return {
      region: own,
      ...times,
      score,
      failure: undefined,
      isRefused: false,
      ...(i === 0 ? measured : {}),
    }
  })
  const counted = (one: MeasuredRegion): number => (one.latencyMs ?? Infinity) * one.score
  const stunNs = isUdpBlocked ? new Map<number, number>() : latencyNs
  const stun = { end: 'all', latencyNs: { 4: stunNs, 6: v6 ? stunNs : new Map<number, number>() } } as const
  return {
    startedAt: new Date(0),
    seconds: 0,
    map: { name: 'map', family: undefined, status: 'ok', ms: undefined, detail: '', hint: undefined },
    regions: regions.toSorted((a, b) => counted(a) - counted(b)),
    from: undefined,
    measurement: {
      startedMs: 0,
      latencyNs,
      stun: { ...stun, publicAddress: {}, sendError: v6 ? {} : { 6: 'ENETUNREACH' } },
      httpsNs: isUdpBlocked ? latencyNs : new Map(),
      httpsErrors: new Map(),
      isUdpBlocked,
      host: { 4: true, 6: true },
    },
    decision,
  }
}

test.each<[Case, string, string | undefined]>([
  [
    { ms: [30, 45, undefined] },
    'A Tailscale client takes fra (1) as its home: 30.0 ms, the nearest of 2 regions that answer.',
    'It would leave fra (1) for nyc (2), the next (45.0 ms), only if nyc (2) took at most 20.0 ms, or fra (1) took at least 67.5 ms.',
  ],
  [
    { ms: [30, 21], from: 1 },
    'A Tailscale client whose home is fra (1) stays there (30.0 ms), although nyc (2) is nearer (21.0 ms): a move must gain 10 ms, and this one gains 9.0 ms.',
    'It would leave fra (1) for nyc (2), the next (21.0 ms), only if nyc (2) took at most 20.0 ms, or fra (1) took at least 31.5 ms.',
  ],
  [
    { ms: [34, 23], from: 1 },
    'A Tailscale client whose home is fra (1) stays there (34.0 ms), although nyc (2) is nearer (23.0 ms): the latency after a move must be at most two thirds, here 22.7 ms.',
    'It would leave fra (1) for nyc (2), the next (23.0 ms), only if nyc (2) took at most 22.7 ms, or fra (1) took at least 34.5 ms.',
  ],
  [
    { ms: [60, 20], from: 1 },
    'A Tailscale client whose home is fra (1) moves to nyc (2): 20.0 ms instead of 60.0 ms gains at least 10 ms and is at most two thirds.',
    'It would leave nyc (2) for fra (1), the next (60.0 ms), only if fra (1) took at most 10.0 ms, or nyc (2) took at least 90.0 ms.',
  ],
  [
    { ms: [undefined, 20], from: 1 },
    'A Tailscale client whose home is fra (1) moves to nyc (2) (20.0 ms), because fra (1) was not measured. While frames from fra (1) arrive, at most 8 s apart, it stays.',
    'It would leave nyc (2) only for a region of at most 10.0 ms.',
  ],
  [
    { ms: [8, undefined], from: 1 },
    'A Tailscale client whose home is fra (1) stays there: 8.0 ms, the only region that answers.',
    'It would not leave fra (1) for any region while fra (1) answers: a move must gain 10 ms.',
  ],
  [
    { ms: [20, 50], scores: { 1: 4 } },
    'A Tailscale client takes nyc (2) as its home: 50.0 ms, the nearest of 2 regions that answer.',
    'It would leave nyc (2) for fra (1), the next (80.0 ms), only if fra (1) took at most 33.3 ms, or nyc (2) took at least 120.0 ms, each times its score.',
  ],
  [
    { ms: [undefined, undefined], from: 2 },
    'No region answers, so a Tailscale client has no measured home. It keeps the home that it has, nyc (2); a client that has just started takes any region of the map.',
    undefined,
  ],
])('%j', (one, sentence, condition) => {
  const report = reportOf(one)
  expect(verdict(report)).toBe(sentence)
  expect(counterfactual(report)).toBe(condition)
})

test.each<[Case, readonly RegExp[]]>([
  [{ ms: [30, 40] }, []],
  [{ ms: [30, 40], isUdpBlocked: true }, [/^UDP is blocked: no region answers STUN, but HTTPS works/]],
  [{ ms: [undefined, undefined], isUdpBlocked: true }, [/^No region answers, neither by STUN nor by HTTPS/]],
  [{ ms: [30, 40], v6: false }, [/^IPv6 is broken here: .* \(ENETUNREACH\)\. Clients use IPv4\.$/]],
  [{ ms: [undefined, 40], region: { state: 'draining' } }, [/never a home: fra \(1\) \(NoMeasureNoHome\)/]],
  [
    { ms: [undefined], region: { state: 'draining' }, isUdpBlocked: true },
    [/^Clients measure no region of this map\.$/, /never a home: fra \(1\) \(NoMeasureNoHome\)/],
  ],
  [{ ms: [undefined, 40], region: { nodes: [] } }, [/^Never a home: fra \(1\) \(no usable nodes\)/]],
  [
    { ms: [undefined, 40], region: { nodes: [{ name: '1a', hostname: 'h', stunPort: -1 }] } },
    [/^Never a home while any other region answers STUN: fra \(1\) \(STUNPort -1\)\.$/],
  ],
  [{ ms: [undefined, 40] }, [/^No answer by STUN within 3 s: fra \(1\)\.$/]],
  [
    { ms: [30, 40], measured: { failure: 'connection refused' } },
    [/^fra \(1\) answers STUN, but its relay does not work: connection refused\./],
  ],
  [{ ms: [30, 40], measured: { failure: 'not admitted', isRefused: true } }, []],
])('remarks of %j', (one, expected) => {
  const found = remarks(reportOf(one))
  expect(found).toHaveLength(expected.length)
  for (const [i, pattern] of expected.entries()) expect(found[i]).toMatch(pattern)
})

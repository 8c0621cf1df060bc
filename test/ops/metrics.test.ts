import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { writeExposition } from '#ops/exposition.ts'
import type { MetricFamily } from '#ops/metric-family.ts'
import { Metrics, type MetricSources } from '#ops/metrics.ts'
import { relayFamilies } from '#ops/relay-families.ts'
import { Varz } from '#ops/varz.ts'
import {
  Counter,
  Counters,
  HISTOGRAM_BOUNDS,
  type HistogramName,
  type PlainCounter,
} from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PACKET_KIND_LABELS, PacketKind } from '#relay/drop-reason.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import { disco, frames, packet } from '../vectors/frames.ts'
import { alice, bob, cathy, sibling } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'
import { SERIES } from './counter-series.ts'
import { testSources } from './sources.ts'
import { allSeries, parseClassic } from './strict-exposition.ts'

/** Every series of the relay, by name and labels. Process metrics are left out, because they change by themselves. */
async function scrape(replaced: Partial<MetricSources>): Promise<Map<string, number>> {
  const families = await new Metrics(testSources(replaced)).families()
  const own = families.filter(({ name }) => !/^(?:process|nodejs)_/.test(name))
  return allSeries(parseClassic(writeExposition(own, 'classic')))
}

/** The series that differ, with their increase. */
function increases(before: Map<string, number>, after: Map<string, number>): Record<string, number> {
  const changed = [...after].filter(([series, value]) => value !== (before.get(series) ?? 0))
  return Object.fromEntries(changed.map(([series, value]) => [series, value - (before.get(series) ?? 0)]))
}

const HISTOGRAM_NAMES: Readonly<Record<HistogramName, string>> = {
  queueDelay: 'derp_send_queue_delay_seconds',
  login: 'derp_login_seconds',
  admission: 'derp_admission_seconds',
  roundTrip: 'derp_client_round_trip_seconds',
  loopLag: 'derp_thread_loop_lag_seconds',
}

describe('every counter of a relay thread is exported, in the right series', () => {
  it.each(Object.keys(Counter) as PlainCounter[])('%s', async (name) => {
    const counters = new Counters()
    // Home clients are clients too, so one home client without a client would be no state of a relay.
    if (name === 'clientsHome') counters.add(Counter.clientsCurrent, 1)
    const before = await scrape({ threads: [counters] })
    counters.add(Counter[name], 1)
    const changed = increases(before, await scrape({ threads: [counters] }))
    expect(sorted(Object.keys(changed))).toEqual(SERIES[name])
    expect(changed[SERIES[name][0] ?? '']).toBe(1)
  })

  it('drops, by every reason and kind', async () => {
    for (const reason of Object.values(DropReason)) {
      for (const kind of Object.values(PacketKind)) {
        const counters = new Counters()
        const before = await scrape({ threads: [counters] })
        counters.countDrop(reason, kind, 70)
        const labels = `{reason="${DROP_REASON_LABELS[reason]}",kind="${PACKET_KIND_LABELS[kind]}"}`
        expect(increases(before, await scrape({ threads: [counters] }))).toEqual({
          [`derp_dropped_packets_total${labels}`]: 1,
          [`derp_dropped_bytes_total${labels}`]: 70,
        })
      }
    }
  })

  it('ends, by every reason', async () => {
    for (const reason of END_REASONS) {
      const counters = new Counters()
      const before = await scrape({ threads: [counters] })
      counters.countEnd(reason)
      expect(increases(before, await scrape({ threads: [counters] }))).toEqual({
        [`derp_sessions_ended_total{reason="${reason}"}`]: 1,
      })
    }
  })

  it.each(Object.keys(HISTOGRAM_NAMES) as HistogramName[])('%s', async (name) => {
    const bounds: readonly number[] = HISTOGRAM_BOUNDS[name]
    const counters = new Counters()
    const before = await scrape({ threads: [counters] })
    const last = bounds.at(-1) ?? 0
    counters.observe(name, last)
    counters.observe(name, last * 2)
    const metric = HISTOGRAM_NAMES[name]
    const thread = name === 'loopLag' ? 'thread="0"' : ''
    const labels = thread === '' ? '' : `{${thread}}`
    const le = thread === '' ? 'le' : `${thread},le`
    expect(increases(before, await scrape({ threads: [counters] }))).toEqual({
      [`${metric}_bucket{${le}="${last}"}`]: 1,
      [`${metric}_bucket{${le}="+Inf"}`]: 2,
      [`${metric}_sum${labels}`]: last * 3,
      [`${metric}_count${labels}`]: 2,
    })
  })
})

it('sums the threads of a relay', async () => {
  const threads = [new Counters(), new Counters(), new Counters()]
  for (const [at, counters] of threads.entries()) counters.add(Counter.loginsTotal, 10 ** at)
  const series = await scrape({ threads, threadLoops: () => threads.map((_, at) => loop(at)) })
  expect(series.get('derp_logins_total')).toBe(111)
  expect(series.get('derp_threads')).toBe(3)
  expect(series.get('derp_thread_active_seconds_total{thread="2"}')).toBe(2)
  expect(series.get('derp_thread_idle_seconds_total{thread="0"}')).toBe(1)
})

const loop = (activeS: number) => ({ activeMs: activeS * 1_000, idleMs: 1_000 })

it('exports the identity of the relay, with its place in the fleet if it has one', async () => {
  const info = async (regions: readonly number[], nodes: readonly string[]): Promise<string[]> => {
    const series = await scrape({ relay: () => ({ hostname: 'derp1.example', regions, nodes }) })
    return [...series.keys()].filter((name) => name.startsWith('derp_relay_info'))
  }
  expect(await info([901, 902], ['901a', '902b'])).toEqual([
    'derp_relay_info{hostname="derp1.example",region="901,902",node="901a,902b",version="1.2.3"}',
  ])
  expect(await info([], [])).toEqual([
    'derp_relay_info{hostname="derp1.example",region="",node="",version="1.2.3"}',
  ])
})

it('exports STUN requests by result and family', async () => {
  const before = await scrape({})
  const stun = { successIpv4: 1, successIpv6: 2, notStun: 3, readErrors: 4, writeErrors: 5 }
  expect(increases(before, await scrape({ stun: () => stun }))).toEqual({
    'stun_requests_total{result="success",family="ipv4"}': 1,
    'stun_requests_total{result="success",family="ipv6"}': 2,
    'stun_requests_total{result="not_stun",family="unknown"}': 3,
    'stun_requests_total{result="read_error",family="unknown"}': 4,
    'stun_requests_total{result="write_error",family="unknown"}': 5,
  })
})

it('exports state, build and limits', async () => {
  const failing = { name: 'stun', isOk: false, detail: 'no answer' }
  const checks = [{ name: 'listeners', isOk: true, detail: '' }, failing]
  const series = await scrape({ state: () => ({ isReady: false, checks }), logLinesLost: () => 7 })
  const expected: Record<string, number> = {
    'derp_build_info{version="1.2.3",node_version="22.0.0"}': 1,
    derp_ready: 0,
    derp_log_lines_lost_total: 7,
    'derp_check_ok{check="listeners"}': 1,
    'derp_check_ok{check="stun"}': 0,
    'derp_region_info{region="900",code="fra",name="Frankfurt",latitude="50.11",longitude="8.68",state="active"}': 1,
    derp_send_queue_limit_bytes: 524_288,
    derp_send_queue_limit_packets: Infinity,
    derp_waiting_limit_bytes: 268_435_456,
    derp_write_timeout_seconds: 2,
    derp_accept_limit_per_second: 500,
    derp_accept_limit_burst: 1_000,
    derp_rate_limit_bytes_per_second: 1_250_000,
    derp_rate_limit_burst_bytes: 2_500_000,
    'derp_budget_bytes_per_second{of="relay"}': 125_000_000,
    'derp_budget_packets_per_second{of="relay"}': 100_000,
  }
  for (const [name, value] of Object.entries(expected))
    expect([name, series.get(name)]).toEqual([name, value])
  expect((await scrape({})).get('derp_ready')).toBe(1)
})

it('exports no metrics of features that are off', async () => {
  const { rate: _rate, ...limits } = testSources().limits
  const series = await scrape({
    stun: () => undefined,
    quality: () => [],
    certificates: () => undefined,
    limits: { ...limits, rate: undefined },
  })
  const names = [...series.keys()].join('\n')
  expect(names).not.toMatch(/^(?:stun_|tls_certificate|derp_certificate|derp_rate_limit_b)/m)
  expect(names).toMatch(/^derp_rate_limit_waits_total/m)
})

describe('a relay with traffic', () => {
  const relay = new TestRelay({ threads: 2 })
  const threads = relay.threads.map(({ counters }) => counters)

  it('counts it in its metrics', async () => {
    const before = await scrape({ threads })
    const a = relay.join(alice, { thread: 0, idealNode: 'other-1' })
    const b = relay.join(bob, { thread: 1, isWebSocket: true })
    a.send(frames.notePreferredYes)
    const m = relay.joinSibling(sibling, { thread: 0 }).send(frames.watchConns)
    a.send(frames.sendPacket, disco.sendPacket, frames.ping)
    a.sendPacket(cathy, packet)
    b.sendPacket(alice, packet)
    m.send(frames.forwardPacket)
    relay.settle()
    b.hangUp()
    const change = increases(before, await scrape({ threads }))
    expect(change).toMatchObject({
      derp_sessions_current: 2,
      derp_logins_total: 3,
      'derp_admission_total{result="allowed"}': 2,
      'derp_clients_current{kind="home"}': 1,
      'derp_clients_current{kind="other"}': 1,
      derp_clients_not_ideal_current: 1,
      derp_watchers_current: 1,
      derp_keys_current: 1,
      'derp_received_packets_total{kind="data"}': 3,
      'derp_received_packets_total{kind="disco"}': 1,
      'derp_sent_packets_total{kind="data"}': 3,
      'derp_sent_packets_total{kind="disco"}': 1,
      'derp_mesh_forwarded_packets_total{direction="in"}': 1,
      'derp_dropped_packets_total{reason="unknown_dest",kind="data"}': 1,
      derp_pings_received_total: 1,
      derp_pongs_sent_total: 1,
      'derp_sessions_ended_total{reason="remote_closed"}': 1,
      derp_login_seconds_count: 3,
      derp_admission_seconds_count: 2,
    })
    expect(change['derp_thread_forwarded_packets_total{direction="in"}']).toBe(
      change['derp_thread_forwarded_packets_total{direction="out"}'],
    )
    expect(change).not.toHaveProperty('derp_clients_websocket_current')
  })

  it('accounts for every packet, as docs/metrics.md says', async () => {
    const series = [...(await scrape({ threads }))]
    const sum = (prefix: string): number =>
      series.filter(([name]) => name.startsWith(prefix)).reduce((all, [, value]) => all + value, 0)
    const forwarded = (direction: string): number =>
      sum(`derp_mesh_forwarded_packets_total{direction="${direction}"}`)
    const received = sum('derp_received_packets_total') + forwarded('in')
    const left = sum('derp_sent_packets_total') + forwarded('out')
    expect(received).toBe(5)
    expect(received).toBe(left + sum('derp_dropped_packets_total') + sum('derp_send_queue_packets'))
  })
})

describe('docs/metrics.md', async () => {
  const page = await readFile('docs/metrics.md', 'utf8')
  const [metricsPart = '', varzPart = ''] = page.split("\n## Under derper's names\n")
  const metrics = await new Metrics(testSources()).families()
  const varz = await new Varz(testSources()).families()

  it('lists exactly what is exported, with type, labels and meaning', () => {
    const rows = tableRows(metricsPart)
    expect(sorted(rows.map(([name = '']) => name))).toEqual(sorted(metrics.map(({ name }) => name)))
    for (const family of metrics) {
      const row = rows.find(([name]) => name === family.name)
      // A family without samples has no labels to compare.
      const labels = family.samples.length === 0 ? row?.[2] : labelsOf(family)
      expect(row).toEqual([family.name, family.type, labels, family.help])
    }
  })

  it("lists exactly derper's names, with type and labels", () => {
    const own = varz.filter(({ name }) => metrics.every((family) => family.name !== name))
    const rows = tableRows(varzPart).map(([name, type, labels]) => `${name} ${type} ${labels}`)
    const exported = own.map((family) => `${family.name} ${family.type} ${labelsOf(family)}`)
    expect(sorted(rows)).toEqual(sorted(exported))
  })

  it('explains every drop reason and every end reason', () => {
    for (const reason of [...DROP_REASON_LABELS, ...END_REASONS])
      expect(metricsPart).toContain(`| \`${reason}\``)
  })

  it('uses only exported names', () => {
    const exported = new Set([...metrics, ...varz].map(({ name }) => name))
    const used = page.match(/\b(?:derp|stun|tls|derper|nodejs|process)_[a-z_0-9]+\b(?!_)/g) ?? []
    const prefixes = new Set(['process_', 'nodejs_', 'derp_'])
    const unknown = used.filter((name) => !prefixes.has(name) && !exported.has(name.replace(/_bucket$/, '')))
    expect(unknown).toEqual([])
  })
})

function sorted(texts: readonly string[]): string[] {
  return texts.toSorted((a, b) => (a < b ? -1 : 1))
}

/** The cells of all table rows that start with a metric's name, without backticks. */
function tableRows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) =>
      /^\| `(?:derp|derper|stun|tls|process|nodejs|bootstrap|uptime|version)[a-z_0-9]*` /.test(line),
    )
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .map(([name = '', type = '', labels = '', meaning = '']) => [
      name.replaceAll('`', ''),
      type,
      labels.replaceAll('`', ''),
      meaning,
    ])
}

/** The labels of a family, without `le`, which every histogram has. */
function labelsOf({ samples }: MetricFamily): string {
  const names = new Set(samples.flatMap(({ labels }) => Object.keys(labels)))
  names.delete('le')
  return [...names].join(', ')
}

it('no gauge keeps its value when the thread dies', () => {
  const counters = new Counters()
  for (const at of Object.values(Counter)) counters.add(at, 5)
  counters.endOfThread()
  const gauges = relayFamilies(counters).filter(({ type }) => type === 'gauge')
  expect(gauges.length).toBeGreaterThan(10)
  for (const { name, samples } of gauges) {
    expect(
      samples.map(({ value }) => value),
      name,
    ).toEqual(samples.map(() => 0))
  }
})

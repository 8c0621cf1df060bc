import { describe, expect, it } from 'vitest'
import type { MetricSources } from '#ops/metrics.ts'
import { Varz } from '#ops/varz.ts'
import { Counter, Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { EndReason } from '#relay/end-reason.ts'
import { frames, packet } from '../vectors/frames.ts'
import { alice, bob, cathy } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'
import { testSources } from './sources.ts'
import { allSeries, parseClassic } from './strict-exposition.ts'

async function read(varz: Varz): Promise<Map<string, number>> {
  const { text } = await varz.page()
  return allSeries(parseClassic(text))
}

const page = (replaced: Partial<MetricSources>): Promise<Map<string, number>> =>
  read(new Varz(testSources(replaced)))

it('a relay with traffic has the numbers that derper would have', async () => {
  const relay = new TestRelay({ threads: 2 })
  const a = relay.join(alice, { thread: 0, idealNode: 'other-1' })
  const b = relay.join(bob, { thread: 1 })
  relay.join(bob, { thread: 1 })
  a.send(frames.notePreferredYes, frames.ping)
  a.sendPacket(bob, packet).sendPacket(cathy, packet).settled()
  b.hangUp()
  const series = await page({ threads: relay.threads.map(({ counters }) => counters) })
  const expected: Record<string, number> = {
    derp_accepts: 3,
    derp_current_connections: 2,
    derp_current_home_connections: 1,
    derp_current_notideal_connections: 1,
    derp_current_dup_client_keys: 0,
    derp_total_dup_client_conns: 1,
    derp_clients_local: 2,
    derp_clients_remote: 0,
    derp_clients_total: 2,
    derp_packets_received: 2,
    'derp_packets_received_kind{kind="other"}': 2,
    'derp_packets_received_kind{kind="disco"}': 0,
    derp_packets_sent: 1,
    derp_bytes_received: 2 * packet.length,
    derp_bytes_sent: packet.length,
    'derp_packets_dropped{reason="unknown_dest",kind="other"}': 1,
    'derp_bytes_dropped{reason="unknown_dest",kind="other"}': packet.length,
    derp_got_ping: 1,
    derp_sent_pong: 1,
  }
  for (const [name, value] of Object.entries(expected))
    expect([name, series.get(name)]).toEqual([name, value])
})

describe('drops', () => {
  it('for reasons that derper lacks count as the nearest reason', async () => {
    const counters = new Counters()
    counters.countDrop(DropReason.queueHead, PacketKind.data, 1)
    counters.countDrop(DropReason.queueAge, PacketKind.data, 10)
    counters.countDrop(DropReason.threadQueue, PacketKind.disco, 100)
    counters.countDrop(DropReason.unknownDestinationForwarded, PacketKind.disco, 1_000)
    counters.countDrop(DropReason.sourceInvalid, PacketKind.disco, 10_000)
    const series = await page({ threads: [counters] })
    expect(series.get('derp_packets_dropped{reason="queue_head",kind="other"}')).toBe(2)
    expect(series.get('derp_bytes_dropped{reason="queue_head",kind="other"}')).toBe(11)
    expect(series.get('derp_bytes_dropped{reason="queue_tail",kind="disco"}')).toBe(100)
    expect(series.get('derp_bytes_dropped{reason="unknown_dest_on_fwd",kind="disco"}')).toBe(11_000)
  })

  it('for every reason and kind count exactly once', async () => {
    const counters = new Counters()
    let count = 0
    for (const reason of Object.values(DropReason)) {
      for (const kind of Object.values(PacketKind)) {
        counters.countDrop(reason, kind, 1)
        count++
      }
    }
    const series = [...(await page({ threads: [counters] }))]
    const dropped = series.filter(([name]) => name.startsWith('derp_packets_dropped{'))
    expect(dropped).toHaveLength(14)
    expect(dropped.reduce((sum, [, value]) => sum + value, 0)).toBe(count)
  })
})

it('derp_accepts never falls, although its parts are read at different moments', async () => {
  const counters = new Counters()
  const varz = new Varz(testSources({ threads: [counters] }))
  counters.add(Counter.connectionsCurrent, 5)
  expect((await read(varz)).get('derp_accepts')).toBe(5)
  counters.add(Counter.connectionsCurrent, -1)
  expect((await read(varz)).get('derp_accepts')).toBe(5)
  counters.countEnd(EndReason.remoteClosed)
  counters.add(Counter.connectionsCurrent, 1)
  expect((await read(varz)).get('derp_accepts')).toBe(6)
})

it('the average queue time covers the time since the last reading, and stays while nothing is sent', async () => {
  const counters = new Counters()
  const varz = new Varz(testSources({ threads: [counters] }))
  const averageMs = async (): Promise<number | undefined> =>
    (await read(varz)).get('derp_average_queue_duration_ms')
  expect(await averageMs()).toBe(0)
  counters.observe('queueDelay', 0.25)
  counters.observe('queueDelay', 0.75)
  expect(await averageMs()).toBe(500)
  expect(await averageMs()).toBe(500)
  counters.observe('queueDelay', 1)
  expect(await averageMs()).toBe(1_000)
})

it('has STUN, TLS and rate limit metrics only if these are on', async () => {
  const counters = new Counters()
  counters.add(Counter.connectionsAccepted, 7)
  counters.add(Counter.tlsCurrent13, 2)
  counters.add(Counter.rateLimitWaits, 3)
  const stun = { successIpv4: 1, successIpv6: 2, notStun: 4, readErrors: 8, writeErrors: 16 }
  const on = await page({ threads: [counters], stun: () => stun })
  expect(on.get('tls_listener_accepted_connections')).toBe(7)
  expect(on.get('derper_tls_active_version{version="1.3"}')).toBe(2)
  expect(on.get('derp_rate_limit_per_client_waited')).toBe(3)
  expect(on.get('derp_rate_limit_per_client_bytes_per_second')).toBe(1_250_000)
  expect(on.get('stun_requests{disposition="success"}')).toBe(3)
  expect(on.get('stun_requests{disposition="write_error"}')).toBe(16)
  expect(on.get('stun_addrfamily{family="ipv6"}')).toBe(2)
  const off = await page({
    stun: () => undefined,
    certificates: () => undefined,
    limits: { ...testSources().limits, rate: undefined },
  })
  expect([...off.keys()].filter((name) => /^(?:stun|tls|derper_tls|derp_rate)/.test(name))).toEqual([])
})

// Sources of metrics for tests, with every feature on. Each test replaces the source that it tests.

import { CarriedSeries } from '#ops/carried-series.ts'
import type { CertificateLife, CertificateStatus } from '#ops/certificate-families.ts'
import { drainFamilies } from '#ops/drain-families.ts'
import { DrainWatch } from '#ops/drain-watch.ts'
import { fleetFamilies } from '#ops/fleet-families.ts'
import { LaneCounters } from '#lane/lane-counters.ts'
import { DirectoryWatch } from '#ops/directory-watch.ts'
import { mapFamilies } from '#ops/map-families.ts'
import { monthFamilies } from '#ops/month-families.ts'
import { Log } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'
import { ClientQuality } from '#ops/client-quality.ts'
import type { SiblingView } from '#ops/link-watch.ts'
import { qualityFamilies, type RelayQuality } from '#ops/relay-quality.ts'
import type { MetricSources } from '#ops/metrics.ts'
import { VerbDenials } from '#ops/verb-denials.ts'
import { ProcessMetrics } from '#ops/process-metrics.ts'
import { Counters } from '#relay/counters.ts'
import { NO_ADDRESS_RULES, NO_BUDGETS, NO_MONTH_RULE, type RelayLimits } from '#protocol/relay-limits.ts'

/** One for all tests of a file: the observers that it starts never stop. */
const processMetrics = new ProcessMetrics()

const noStun = { successIpv4: 0, successIpv6: 0, notStun: 0, readErrors: 0, writeErrors: 0 }

const limits: RelayLimits = {
  outboxBytesMax: 524_288,
  memoryBytesMax: 9_000_000_000,
  outboxPacketsMax: Infinity,
  writeTimeoutMs: 2_000,
  acceptsPerSecond: 500,
  acceptBurst: 1_000,
  rate: { bytesPerSecond: 1_250_000, burstBytes: 2_500_000 },
  budgets: { ...NO_BUDGETS, relay: { bytesPerSecond: 125_000_000, packetsPerSecond: 100_000 } },
  addresses: NO_ADDRESS_RULES,
  month: NO_MONTH_RULE,
  waitingBytesMax: 268_435_456,
  keepAlive: { minMs: 60_000, maxMs: 65_000 },
  tcpKeepaliveMs: 600_000,
  tcpUserTimeoutMs: 15_000,
}

export const certificate: CertificateLife = {
  hostname: 'relay.example',
  origin: 'acme',
  notBeforeMs: Date.UTC(2030, 0, 1),
  notAfterMs: Date.UTC(2030, 3, 1),
}

export function certificates(all: readonly CertificateLife[], lastFailure?: string): CertificateStatus {
  const failures = new Map([
    ['expired', 0],
    ['acme_refused', 2],
  ])
  return { certificates: all, usedSinceMs: all[0]?.notBeforeMs, failures, lastFailure }
}

export const SIBLING: SiblingView = {
  name: 'derp2.example',
  isInside: true,
  isUp: true,
  why: '',
  keys: 1_000,
  keysRefused: 0,
  waitingBytes: 0,
  packets: 0,
  bytes: 0,
  dropped: 0,
  delayMs: 0.2,
  rttMs: 12.5,
  rttMinMs: 12.1,
  rttMedianMs: 12.4,
  jitterMs: 0.4,
  lossRatio: 0,
}

const clients = new ClientQuality()
clients.roundTrip({ seconds: 0.03, homeRegion: '901', isHome: true, country: 'DE' })
clients.stunRequest('DE', 2)

/** A relay that measures everything. */
export const QUALITY: RelayQuality = {
  siblings: [SIBLING],
  clients: clients.numbers(),
  hasCountries: true,
  throughput: {
    packetsPerSecond: 10_000,
    bytesPerSecond: 12_500_000,
    peakPacketsPerSecond: 20_000,
    peakBytesPerSecond: 25_000_000,
  },
  threads: { ratio: 0.9, packetsPerSecond: 10_000, packetsMaxPerSecond: 100_000, busyShare: 0.3 },
  capacityBits: 400_000_000,
}

const directory = new DirectoryWatch(() => ({
  isConnected: true,
  detail: 'nats.lab:4222',
  connects: 1,
  announced: 100,
  answers: { at: 10, nowhere: 5, unknown: 0 },
}))

const reloads = new Reloads(new Log('error', { write: () => undefined }), Date.now)
reloads.accepted('regions-file', 'regions.yaml')

/** A lane that has counted each of its figures so often. */
export function laneOf(count: number): MetricSources['lane'] {
  const figures = Object.entries(new LaneCounters(LaneCounters.memory()).read()).map(([name]) => [
    name,
    count,
  ])
  return () => Object.fromEntries(figures) as ReturnType<MetricSources['lane']>
}

export function testSources(replaced: Partial<MetricSources> = {}): MetricSources {
  return {
    otherCounters: [],
    carried: new CarriedSeries(),
    run: 1,
    threads: [new Counters()],
    threadLoops: () => [{ activeMs: 1_500, idleMs: 8_500 }],
    threadDeaths: () => [0],
    admission: () => ({
      waiting: 3,
      asking: 64,
      oldestWaitMs: 1_500,
      overflows: 2,
      knownKeys: 3,
      listedKeys: 2,
      lease: { serial: 7, keys: 3, notBeforeMs: 1_799_000_000_000, notAfterMs: 1_800_000_000_000 },
      bans: { timed: 1, standing: 2 },
      graceLeftRatio: 1,
      backends: [{ name: 'url', isUp: false }],
    }),
    siblings: () => [SIBLING],
    mesh: () => [
      ...directory.families(),
      ...monthFamilies(7e12, [{ alarm: 'no' }, { alarm: 'over' }]),
      ...mapFamilies({
        isStale: false,
        file: [{ id: 900, code: 'fra', name: 'Frankfurt', latitude: 50.11, longitude: 8.68 }],
        regions: 3,
        changes: { removals: 2, returns: 1, edits: 4 },
      }),
      ...reloads.families(),
      ...drainFamilies(new DrainWatch([])),
      ...fleetFamilies({
        relays: [{ isListed: true, state: 'up' }],
        majority: { seen: 1, expected: 1, isMajority: true },
        conflicts: [],
        results: new Map([['taken', 7]]),
      }),
      ...new VerbDenials().families(),
    ],
    quality: () => [...qualityFamilies(QUALITY), ...clients.families()],
    stun: () => noStun,
    stunDeaths: () => 0,
    lane: laneOf(0),
    laneDeaths: () => 0,
    certificates: () => certificates([certificate]),
    state: () => ({
      isReady: true,
      checks: [{ name: 'listeners', isOk: true, detail: 'bound' }],
    }),
    logLinesLost: () => 0,
    isStateFolderUsable: true,
    nativeWays: {
      tcp_user_timeout: 'socket_option',
      client_round_trip: 'tcp_info',
      systemd_notify: 'datagram',
      memory_return: 'malloc_trim',
      inherited_sockets: 'duplicates',
      client_tls: 'openssl',
      poll_rounds: 'timerfd',
    },
    relay: () => ({ hostname: 'relay.example', regions: [901], nodes: ['901a'] }),
    build: { version: '1.2.3', nodeVersion: '22.0.0' },
    limits,
    process: processMetrics,
    ...replaced,
  }
}

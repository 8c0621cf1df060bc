// What a relay says of its load, from counters that are read once a second.

import { expect, it } from 'vitest'
import { LOOK_MS, TrafficMeter } from '#ops/traffic-meter.ts'
import { Counter, Counters, type PlainCounter } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'

const NO_LOOPS = { readLoopTimes: () => [] }

function count(counters: Counters, numbers: Partial<Record<PlainCounter, number>>): void {
  for (const [name, value] of Object.entries(numbers)) counters.add(Counter[name as PlainCounter], value)
}

/** A relay that sends `rate(second)` packets of a thousand bytes in each second, a tenth of them to siblings. */
function carry(seconds: number, rate: (second: number) => number): TrafficMeter {
  const counters = new Counters()
  const meter = new TrafficMeter({ counters: [counters], ...NO_LOOPS })
  for (let second = 0; second < seconds; second++) {
    meter.look(second * LOOK_MS)
    const packets = rate(second)
    const bytes = packets * 1_000
    count(counters, { sentData: packets * 0.9, sentBytesData: bytes * 0.9 })
    count(counters, { forwardedOut: packets * 0.1, forwardedOutBytes: bytes * 0.1 })
  }
  return meter
}

it('knows nothing at first, however much was carried before', () => {
  const counters = new Counters()
  count(counters, { sentData: 500, sentBytesData: 500_000 })
  const meter = new TrafficMeter({ counters: [counters], ...NO_LOOPS })
  const nothing = { packetsPerSecond: 0, bytesPerSecond: 0, peakPacketsPerSecond: 0, peakBytesPerSecond: 0 }
  expect(meter.throughput()).toEqual(nothing)
  meter.look(0)
  expect(meter.throughput()).toEqual(nothing)
  expect(meter.clientLoad()).toEqual({
    clients: 0,
    homeClients: 0,
    peakPacketsPerSecond: 0,
    peakBytesPerSecond: 0,
  })
  expect(meter.recent()).toMatchObject({
    clients: 0,
    bytesInPerSecond: 0,
    dropRatio: undefined,
    queueP99Ms: undefined,
    curve: [],
  })
})

it('throughput is the mean of ten seconds of all that leaves, also when looks are late', () => {
  const meter = carry(30, (second) => (second % 2 === 0 ? 0 : 2_000))
  expect(meter.throughput()).toMatchObject({ packetsPerSecond: 1_000, bytesPerSecond: 1_000_000 })
  const counters = new Counters()
  const late = new TrafficMeter({ counters: [counters], ...NO_LOOPS })
  late.look(0)
  count(counters, { sentDisco: 400, sentBytesDisco: 400 })
  late.look(4_000)
  expect(late.throughput()).toMatchObject({ packetsPerSecond: 100, bytesPerSecond: 100 })
})

it('remembers its peak for an hour', () => {
  const rate = (second: number): number => (second >= 60 && second < 80 ? 5_000 : 100)
  expect(carry(3_000, rate).throughput()).toMatchObject({
    packetsPerSecond: 100,
    peakPacketsPerSecond: 5_000,
  })
  expect(carry(3_800, rate).throughput()).toMatchObject({ packetsPerSecond: 100, peakPacketsPerSecond: 100 })
})

it('tells the fleet of the traffic of its clients alone, and the share of the busiest thread', () => {
  const counters = [new Counters(), new Counters()] as const
  let loops = [
    { activeMs: 0, idleMs: 0 },
    { activeMs: 100, idleMs: 900 },
  ]
  const meter = new TrafficMeter({ counters, readLoopTimes: () => loops })
  count(counters[0], { clientsCurrent: 3 })
  count(counters[1], { clientsCurrent: 4, siblingsCurrent: 2, clientsHome: 1 })
  meter.look(0)
  for (const one of counters) {
    count(one, { receivedData: 10, receivedBytesData: 1_000, receivedDisco: 5, sentBytesDisco: 50 })
    count(one, { forwardedIn: 7, forwardedOut: 9, forwardedOutBytes: 900 })
  }
  loops = [
    { activeMs: 500, idleMs: 1_500 },
    { activeMs: 200, idleMs: 2_800 },
  ]
  meter.look(2_000)
  expect(meter.clientLoad()).toEqual({
    clients: 5,
    homeClients: 1,
    bytesInPerSecond: 1_000,
    bytesOutPerSecond: 50,
    packetsInPerSecond: 15,
    packetsOutPerSecond: 0,
    peakPacketsPerSecond: 0,
    peakBytesPerSecond: 0,
    busiestThreadShare: 0.25,
  })
  // With links: what the relay has to carry.
  expect(meter.recent()).toMatchObject({
    bytesInPerSecond: 1_000,
    bytesOutPerSecond: 950,
    packetsInPerSecond: 22,
    packetsOutPerSecond: 9,
  })
})

it('shows people rates of ten seconds, and drops and waits of a minute', () => {
  const threads = [new Counters(), new Counters()] as const
  const meter = new TrafficMeter({ counters: threads, ...NO_LOOPS })
  let ms = 0
  const pass = (looks: number, each: () => void): void => {
    for (let i = 0; i < looks; i++) {
      each()
      meter.look((ms += LOOK_MS))
    }
  }
  meter.look(ms)
  // Long ago: many drops and long waits.
  pass(20, () => {
    count(threads[0], { receivedData: 100 })
    for (let i = 0; i < 50; i++) threads[0].countDrop(DropReason.queueHead, PacketKind.data, 1)
    threads[0].observe('queueDelay', 1.5)
  })
  pass(80, () => {
    count(threads[0], { receivedData: 100, receivedBytesData: 10_000 })
    count(threads[1], { receivedDisco: 100, sentBytesData: 20_000, forwardedOutBytes: 2_000 })
    threads[1].countDrop(DropReason.queueAge, PacketKind.disco, 1)
    for (let i = 0; i < 10; i++) threads[1].countDrop(DropReason.unknownDestination, PacketKind.data, 1)
    for (let i = 0; i < 99; i++) threads[1].observe('queueDelay', 0.000_05)
    threads[1].observe('queueDelay', 0.009)
  })
  count(threads[0], { clientsCurrent: 12, clientsHome: 8, siblingsCurrent: 2 })
  const { clients, homeClients, bytesInPerSecond, bytesOutPerSecond, dropRatio, queueP99Ms, curve } =
    meter.recent()
  expect({ clients, homeClients, bytesInPerSecond, bytesOutPerSecond }).toEqual({
    clients: 10,
    homeClients: 8,
    bytesInPerSecond: 10_000,
    bytesOutPerSecond: 22_000,
  })
  expect(dropRatio).toBeCloseTo(1 / 200, 6)
  expect(queueP99Ms).toBeCloseTo(0.1, 6)
  expect(curve).toHaveLength(10)
  expect(curve.at(-1)).toEqual({ clients: 0, bytesPerSecond: 32_000 })
})

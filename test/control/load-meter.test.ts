// Rates between two readings of the relay threads' counters.

import { expect, it } from 'vitest'
import { LoadMeter } from '#control/load-meter.ts'
import { Counter, Counters } from '#relay/counters.ts'
import { FakeClock } from '../support/fake-clock.ts'

it('has rates per second over all threads, and the share of the busiest', () => {
  const clock = new FakeClock()
  const counters = [new Counters(), new Counters()]
  let loops = [
    { activeMs: 0, idleMs: 0 },
    { activeMs: 100, idleMs: 900 },
  ]
  const meter = new LoadMeter({ threads: { counters, readLoopTimes: () => loops }, now: clock.now })
  counters[0]?.add(Counter.clientsCurrent, 3)
  counters[1]?.add(Counter.clientsCurrent, 4)
  counters[1]?.add(Counter.siblingsCurrent, 2)
  counters[1]?.add(Counter.clientsHome, 1)
  for (const one of counters) {
    one.add(Counter.receivedData, 10)
    one.add(Counter.receivedBytesData, 1_000)
    one.add(Counter.receivedDisco, 5)
    one.add(Counter.sentBytesDisco, 50)
  }
  expect(meter.read()).toEqual({ clients: 5, homeClients: 1 })
  clock.advance(2_000)
  loops = [
    { activeMs: 500, idleMs: 1_500 },
    { activeMs: 200, idleMs: 2_800 },
  ]
  const load = {
    clients: 5,
    homeClients: 1,
    bytesInPerSecond: 1_000,
    bytesOutPerSecond: 50,
    packetsInPerSecond: 15,
    packetsOutPerSecond: 0,
    busiestThreadShare: 0.25,
  }
  expect(meter.read()).toEqual(load)
  // Too soon for other rates.
  clock.advance(100)
  expect(meter.read()).toEqual(load)
})

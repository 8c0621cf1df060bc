// A relay of a region is stopped while its clients exchange packets: a derpfleet, which drains, and a derper beside it.
// Counts what the clients lose, and compares it with what the relays say. Once with a thousand clients of the load
// generator, and once with a hundred of the project's own.

import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { MovedOutcome } from '../../bench/load/outcome.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { hasMovers, Movers, printMoved } from '../support/movers.ts'
import { MovingClients } from '../support/moving-clients.ts'
import { RegionPair } from '../support/region-pair.ts'

const OWN_CLIENTS = 100
const OWN_RATE = 20
const TEST_TIMEOUT_MS = 120_000
/** A derper that was refused dials its sibling again after 5 s. */
const DERPERS_MESHED_MS = 6_000
/** Something else may take the processors for a second; then clients are away for longer than packets are held. */
const OPTIONS = { timeout: TEST_TIMEOUT_MS, retry: 2 }

const derpers = await foreignPrograms('derper-1.104.5')
const canMove = await hasMovers('the drain of a thousand clients')

const DROPPED = 'derp_dropped_packets_total'

type Metrics = ReadonlyMap<string, number>

/** The sum of all series that begin so. */
function sum(metrics: Metrics, series: string): number {
  return [...metrics]
    .filter(([name]) => name.startsWith(series))
    .reduce((total, [, value]) => total + value, 0)
}

function clientsEnded(metrics: Metrics): (number | undefined)[] {
  const outcomes = ['moved', 'forced', 'left']
  return outcomes.map((outcome) => metrics.get(`derp_drain_clients_total{outcome="${outcome}"}`))
}

/** Which packets a relay has dropped, and why. */
function printDropped(metrics: Metrics): void {
  const reasons = [...metrics].filter(([name, value]) => name.startsWith(DROPPED) && value > 0)
  process.stderr.write(`dropped: ${reasons.map((one) => one.join(' ')).join(', ') || 'none'}\n`)
}

/** Runs the load, and `stop` in the middle of it. */
async function underLoad(pair: RegionPair, stop: () => Promise<void>): Promise<MovedOutcome> {
  await using movers = await Movers.start(pair.ports.map((port) => ({ host: '127.0.0.1', port })))
  await sleep(3_000)
  await stop()
  return await movers.done()
}

describe.skipIf(!canMove)('one of two relays stops under the load of a thousand clients', () => {
  test('a derpfleet drains: hardly a packet is lost, and its numbers are right', OPTIONS, async () => {
    await using pair = await RegionPair.start({ args: ['-drain-spread', '7s'] })
    let last: Metrics = new Map()
    const outcome = await underLoad(pair, async () => {
      const drained = await pair.drain(0)
      expect(drained.exit).toEqual({ code: 0, signal: null })
      last = drained.last
    })
    printMoved('derpfleet', outcome)
    printDropped(last)
    printDropped(await pair.metrics(1))
    expect(outcome.lostP99).toBeLessThanOrEqual(1)
    expect([outcome.repeated, outcome.corrupted]).toEqual([0, 0])
    // The last scrape says what the clients have seen.
    expect([last.get('derp_draining'), last.get('derp_drain_clients_remaining')]).toEqual([1, 0])
    expect(clientsEnded(last)).toEqual([outcome.disconnects, 0, 0])
    expect(sum(last, DROPPED) + sum(await pair.metrics(1), DROPPED)).toBe(outcome.sent - outcome.received)
  })

  test.skipIf('missing' in derpers)('a derper ends: what its clients lose', OPTIONS, async () => {
    const derper = 'paths' in derpers ? derpers.paths['derper-1.104.5'] : ''
    await using pair = await RegionPair.start({ derper })
    await sleep(DERPERS_MESHED_MS)
    const outcome = await underLoad(pair, async () => {
      pair.relay(0).signal('SIGTERM')
      await pair.relay(0).exited
    })
    printMoved('derper', outcome)
    expect(outcome.disconnects).toBeGreaterThan(0)
  })
})

test("a hundred of the project's own clients lose hardly a packet when a relay drains", OPTIONS, async () => {
  await using pair = await RegionPair.start()
  await using clients = await MovingClients.connect({
    count: OWN_CLIENTS,
    rate: OWN_RATE,
    packetBytes: 200,
    relays: pair.targets,
    // Three of four begin at the first relay, and the pairs are mixed.
    firstOf: (index) => (index % 4 === 3 ? 1 : 0),
  })
  // Presence has reached both relays.
  await sleep(500)
  clients.start()
  await sleep(2_000)
  const { last } = await pair.drain(0)
  await sleep(1_000)
  clients.stop()
  await sleep(1_500)
  const { sent, lost, unsent, disconnects, repeated, lostAt, awayMsAt } = clients.losses()
  process.stderr.write(
    `derpfleet: ${OWN_CLIENTS} own clients, ${OWN_RATE} packets/s each: ${sent} sent, ${lost} lost (per client: p99 ` +
      `${lostAt(0.99)}, most ${lostAt(1)}), ${unsent} not sent for lack of a connection; ${disconnects} reconnects, ` +
      `away for ${Math.round(awayMsAt(0.5))} ms (p50), ${Math.round(awayMsAt(0.99))} ms (p99)\n`,
  )
  expect(lostAt(0.99)).toBeLessThanOrEqual(1)
  expect(repeated).toBe(0)
  expect(clientsEnded(last)).toEqual([disconnects, 0, 0])
})

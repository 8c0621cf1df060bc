// A relay of a region is stopped while its clients exchange packets: a derpfleet, which drains, and a derper beside it.
// Counts what the clients lose, and compares it with what the relays say. Once with a thousand clients of the load
// generator, and once with a hundred of the project's own. Two cores carry 10,000 packets a second of so many connections
// together with the clients that send them; the full size of 50,000 is the benchmark's figure `drain`.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { generatorPath } from '../../bench/load/build-generator.ts'
import { delayMs } from '../../bench/load/delays.ts'
import { Generator } from '../../bench/load/generator-process.ts'
import { loginFile, newClients, serverKeyAt } from '../../bench/load/login-file.ts'
import type { MovedOutcome } from '../../bench/load/outcome.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { MovingClients } from '../support/moving-clients.ts'
import { RegionPair } from '../support/region-pair.ts'

const CLIENTS = 1_000
const RATE = 10
const SECONDS = 16
const OWN_CLIENTS = 100
const OWN_RATE = 20
const TEST_TIMEOUT_MS = 120_000
/** A derper that was refused dials its sibling again after 5 s. */
const DERPERS_MESHED_MS = 6_000
/** Something else may take the processors for a second; then clients are away for longer than packets are held. */
const OPTIONS = { timeout: TEST_TIMEOUT_MS, retry: 2 }

const derpers = await foreignPrograms('derper-1.104.5')
const noGenerator = await generatorPath().then(
  () => undefined,
  (error: unknown) => String(error),
)
if (noGenerator !== undefined)
  process.stderr.write(`SKIPPING the drain of a thousand clients: ${noGenerator}\n`)

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

/** Runs the load, and `stop` in the middle of it. */
async function underLoad(pair: RegionPair, stop: () => Promise<void>): Promise<MovedOutcome> {
  const folder = await mkdtemp(join(tmpdir(), 'drain-load-'))
  const clients = newClients(CLIENTS)
  const servers: string[][] = []
  for (const [i, port] of pair.ports.entries()) {
    const path = join(folder, `logins-${i}`)
    await writeFile(path, loginFile(await serverKeyAt({ host: '127.0.0.1', port, isPlain: false }), clients))
    servers.push([
      i === 0 ? '--addr' : '--far',
      `127.0.0.1:${port}`,
      i === 0 ? '--logins' : '--far-logins',
      path,
    ])
  }
  const load = [
    '--move',
    `${CLIENTS}`,
    '--rate',
    `${CLIENTS * RATE}`,
    '--size',
    '200',
    '--secs',
    `${SECONDS}`,
  ]
  const generator = await Generator.start([...servers.flat(), ...load], '0-127')
  try {
    await generator.next('held')
    await sleep(3_000)
    await stop()
    await generator.done()
    return await generator.next('moved')
  } finally {
    await generator.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

function print(name: string, outcome: MovedOutcome): void {
  const { sent, received, unsent, lostP99, lostMost, disconnects, away } = outcome
  const times = [0.5, 0.99].map((share) => delayMs(away, share).toFixed(1))
  process.stderr.write(
    `${name}: ${CLIENTS} clients, ${RATE} packets/s each: ${sent} sent, ${sent - received} lost (per client: p99 ${lostP99}, ` +
      `most ${lostMost}), ${unsent} not sent for lack of a connection; ${disconnects} reconnects, ` +
      `away for ${times[0]} ms (p50), ${times[1]} ms (p99)\n`,
  )
}

describe.skipIf(noGenerator !== undefined)(
  'one of two relays stops under the load of a thousand clients',
  () => {
    test('a derpfleet drains: hardly a packet is lost, and its numbers are right', OPTIONS, async () => {
      await using pair = await RegionPair.start({ args: ['-drain-spread', '7s'] })
      let last: Metrics = new Map()
      const outcome = await underLoad(pair, async () => {
        const drained = await pair.drain(0)
        expect(drained.exit).toEqual({ code: 0, signal: null })
        last = drained.last
      })
      print('derpfleet', outcome)
      expect(outcome.lostP99).toBeLessThanOrEqual(1)
      expect([outcome.repeated, outcome.corrupted]).toEqual([0, 0])
      // The last scrape says what the clients have seen.
      expect([last.get('derp_draining'), last.get('derp_drain_clients_remaining')]).toEqual([1, 0])
      expect(clientsEnded(last)).toEqual([outcome.disconnects, 0, 0])
      const dropped = 'derp_dropped_packets_total'
      expect(sum(last, dropped) + sum(await pair.metrics(1), dropped)).toBe(outcome.sent - outcome.received)
    })

    test.skipIf('missing' in derpers)('a derper ends: what its clients lose', OPTIONS, async () => {
      const derper = 'paths' in derpers ? derpers.paths['derper-1.104.5'] : ''
      await using pair = await RegionPair.start({ derper })
      await sleep(DERPERS_MESHED_MS)
      const outcome = await underLoad(pair, async () => {
        pair.relay(0).signal('SIGTERM')
        await pair.relay(0).exited
      })
      print('derper', outcome)
      expect(outcome.disconnects).toBeGreaterThan(0)
    })
  },
)

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

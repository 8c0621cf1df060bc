// A relay of a region is stopped while its clients exchange packets: a derpfleet, which drains, and a derper beside it.
// Counts what the clients have lost, and compares it with what the relays say. The load is 300 clients with 20 packets a
// second each, moved within eight seconds: what this process, which is all clients, carries without queues on a small
// machine. The full size is the benchmark's figure `drain`.

import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { foreignPrograms } from '../support/foreign.ts'
import { MovingClients, type Losses } from '../support/moving-clients.ts'
import { RegionPair } from '../support/region-pair.ts'

const CLIENTS = 300
const RATE = 20
const TEST_TIMEOUT_MS = 120_000

const derpers = await foreignPrograms('derper-1.104.5')

function print(name: string, losses: Losses): void {
  const { sent, lost, unsent, disconnects, lostAt, awayMsAt } = losses
  const times = [0.5, 0.99, 1].map((share) => Math.round(awayMsAt(share)))
  process.stderr.write(
    `${name}: ${CLIENTS} clients, ${RATE} packets/s each: ${sent} sent, ${lost} lost (per client: p50 ${lostAt(0.5)}, ` +
      `p99 ${lostAt(0.99)}, most ${lostAt(1)}), ${unsent} not sent for lack of a connection; ` +
      `${disconnects} reconnects, away for ${times[0]} ms (p50), ${times[1]} (p99), ${times[2]} (most)\n`,
  )
}

async function load(pair: RegionPair): Promise<MovingClients> {
  const clients = await MovingClients.connect({
    count: CLIENTS,
    rate: RATE,
    packetBytes: 200,
    ports: pair.ports,
    // Three of four begin at the first relay, and the pairs are mixed.
    firstOf: (index) => (index % 4 === 3 ? 1 : 0),
  })
  // Presence has reached both relays.
  await sleep(500)
  clients.start()
  await sleep(2_000)
  return clients
}

/** Waits for what is on its way. */
async function settled(clients: MovingClients): Promise<Losses> {
  clients.stop()
  await sleep(1_500)
  return clients.losses()
}

describe('a relay of a region stops under load', () => {
  test(
    'a derpfleet drains: hardly a packet is lost, and its numbers are right',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      await using pair = await RegionPair.start({ args: ['-drain-spread', '8s'] })
      await using clients = await load(pair)
      const { exit, last } = await pair.drain(0)
      await sleep(1_000)
      const losses = await settled(clients)
      print('derpfleet', losses)
      expect(exit).toEqual({ code: 0, signal: null })
      expect(losses.lostAt(0.99)).toBeLessThanOrEqual(1)
      expect(losses.repeated).toBe(0)
      // The last scrape says what the clients have seen.
      expect(last.get('derp_draining')).toBe(1)
      expect(last.get('derp_drain_clients_remaining')).toBe(0)
      const ended = ['moved', 'forced', 'left'].map((outcome) =>
        last.get(`derp_drain_clients_total{outcome="${outcome}"}`),
      )
      expect(ended).toEqual([losses.disconnects, 0, 0])
      const drops = [last, await pair.metrics(1)].flatMap((page) =>
        [...page]
          .filter(([series]) => series.startsWith('derp_dropped_packets_total'))
          .map(([, dropped]) => dropped),
      )
      expect(losses.lost).toBe(drops.reduce((sum, dropped) => sum + dropped, 0))
    },
  )

  test.skipIf('missing' in derpers)(
    'a derper ends: what its clients lose',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      const derper = 'paths' in derpers ? derpers.paths['derper-1.104.5'] : ''
      await using pair = await RegionPair.start({ derper })
      // Both are dialled again every five seconds.
      await sleep(6_000)
      await using clients = await load(pair)
      pair.relay(0).signal('SIGTERM')
      await pair.relay(0).exited
      await sleep(5_000)
      const losses = await settled(clients)
      print('derper', losses)
      expect(losses.disconnects).toBeGreaterThan(0)
    },
  )
})

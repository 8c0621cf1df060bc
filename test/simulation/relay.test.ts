import { expect, it } from 'vitest'
import { RelaySimulation } from './relay-simulation.ts'

/** SIMULATION_SEED repeats a run that failed. */
const seed = Number(process.env['SIMULATION_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

it.each([1, 3])(
  'a million packets among 200 peers on %i thread(s) go where they should',
  { timeout: 120_000 },
  (threads) => {
    const simulation = new RelaySimulation({ seed, threads, packets: 1_000_000, peers: 200, tenants: 0 })
    try {
      simulation.run()
    } catch (error) {
      throw new Error(`repeat with SIMULATION_SEED=${seed}`, { cause: error })
    }
    // A run that has not met all of these situations has tested less than it should.
    for (const [what, times] of Object.entries(simulation.covered)) {
      if (what === 'foreign' || what === 'moved') expect(times, what).toBe(0)
      else if (what !== 'deaths' || threads > 1) expect(times, what).toBeGreaterThan(10)
    }
    expect(Object.keys(simulation.relay.drops)).toEqual(
      expect.arrayContaining([
        'unknown_dest data',
        'queue_head data',
        'queue_head disco',
        'gone_disconnected data',
        // Deaths of threads take the readers away that take nothing: rarely, all of them before a packet has grown old.
        ...(threads === 1 ? ['queue_age data'] : []),
      ]),
    )
    if (threads > 1) expect(simulation.relay.count('receivedFromThreads')).toBeGreaterThan(100_000)
  },
)

it.each([1, 3])(
  'packets among peers of three tenants, and some of none, pass within a tenant on %i thread(s)',
  { timeout: 120_000 },
  (threads) => {
    const simulation = new RelaySimulation({ seed, threads, packets: 300_000, peers: 200, tenants: 3 })
    try {
      simulation.run()
    } catch (error) {
      throw new Error(`repeat with SIMULATION_SEED=${seed}`, { cause: error })
    }
    expect(simulation.covered.foreign).toBeGreaterThan(100_000)
    expect(simulation.covered.moved).toBeGreaterThan(100)
  },
)

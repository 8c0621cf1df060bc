// One of a region's two relays is told to stop (SIGTERM) while a thousand clients exchange packets: what the clients lose
// when it drains, and beside it when a derper ends. Clients reconnect to the other relay at once.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { Generator } from '../load/generator-process.ts'
import type { MovedOutcome } from '../load/outcome.ts'
import { startMesh, TwoRelays } from '../mesh.ts'
import { movedRows } from '../moved-rows.ts'
import { DERPER, DERPFLEET } from '../server.ts'

const CLIENTS = 1_000
/** Of each client. A server that is not busy, and fifty thousand packets a second in all. */
const RATES = [10, 50] as const
const PACKET_BYTES = 200
/** From the first packet to SIGTERM. */
const BEFORE_MS = 3_000
/** A drain takes eight seconds and a half at most. */
const SECONDS = 15
/** A derper that has just started dials its sibling again after 5 s. */
const MESHED_MS = 7_000
/** Each round starts two relays and waits for them. */
const ROUNDS_MAX = 3

async function stopOne(bench: Bench, name: string, rate: number): Promise<MovedOutcome> {
  // In a fleet they are on two machines.
  const [near, far] = await startMesh(bench, name, 2, { cpus: bench.cpuSets.both })
  if (near === undefined || far === undefined) throw new Error(`${name}: no mesh`)
  try {
    await sleep(MESHED_MS)
    const common = await new TwoRelays(near, far).arguments(CLIENTS)
    const load = ['--move', `${CLIENTS}`, '--rate', `${CLIENTS * rate}`, '--size', `${PACKET_BYTES}`]
    const generator = await Generator.start(
      [...common, ...load, '--secs', `${SECONDS}`],
      bench.cpuSets.generator,
    )
    try {
      await generator.next('held')
      await sleep(BEFORE_MS)
      await near.terminate()
      await generator.done()
      bench.notes.addCommand(generator.command)
      const outcome = await generator.next('moved')
      const { corrupted, failedLogins } = outcome
      if (corrupted > 0) bench.notes.addMark(`${name}: ${corrupted} corrupted packets`)
      if (failedLogins > 0) bench.notes.addMark(`${name}: ${failedLogins} failed logins`)
      return outcome
    } finally {
      await generator.stop()
    }
  } finally {
    await Promise.all([near.stop(), far.stop()])
  }
}

export const drain: Figure = {
  name: 'drain',
  title: 'One of two relays is stopped under load',
  async measure(bench) {
    const own = bench.servers.filter(({ name, isOwn }) => isOwn && (name === DERPFLEET || name === DERPER))
    const rounds = Math.min(bench.effort.rounds, ROUNDS_MAX)
    const rows: Row[] = []
    for (const rate of RATES) {
      const measured = await bench.interleaved(own, ({ name }) => stopOne(bench, name, rate), rounds)
      rows.push(...movedRows(`${rate} packets/s each`, measured))
    }
    return {
      rows,
      notes: [
        `${CLIENTS} clients, each sends packets of ${PACKET_BYTES} bytes to the client half-way round; three of four clients are at the relay that is stopped. derpfleet drains with its default times, derper ends at once. A packet is lost if nothing arrives for three seconds. Both relays and the generator share all processors: two processors do not carry ${CLIENTS * 50} packets a second of as many connections and the logins of a drain at the same time.`,
      ],
    }
  },
}

// Goodput and CPU time per frame without TLS, as behind a TLS proxy.

import type { Bench } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { cpuUsPerFrame, gigabitsPerSecond, lossOf } from '../load/load.ts'
import { rowOf } from '../row.ts'
import type { Server } from '../server.ts'

const RATE = 60_000

async function measurePlain(bench: Bench, servers: readonly Server[]): ReturnType<Figure['measure']> {
  for (const server of servers) await bench.runLoad(server, bench.load(RATE))
  const all = await bench.interleaved(servers, (server) => bench.runLoad(server, bench.load('all')))
  const steady = await bench.interleaved(servers, (server) => bench.runLoad(server, bench.load(RATE)))
  return {
    rows: [
      rowOf(
        { label: 'goodput, 10 pairs, all that can be sent', unit: 'Gbit/s', digits: 3 },
        all,
        gigabitsPerSecond,
      ),
      rowOf({ label: '– lost', unit: '%', digits: 1 }, all, (outcome) => 100 * lossOf(outcome)),
      rowOf({ label: `CPU per frame at ${RATE}/s`, unit: 'µs/frame', digits: 2 }, steady, cpuUsPerFrame),
      rowOf({ label: '– lost', unit: '%', digits: 2 }, steady, (outcome) => 100 * lossOf(outcome)),
    ],
    notes: ['1420-byte packets, 10 pairs; no TLS at senders and receivers.'],
  }
}

export const plain: Figure = {
  name: 'plain',
  title: 'Plain TCP',
  async measure(bench) {
    const started: Server[] = []
    try {
      for (const server of bench.servers) {
        if (server.isOwn) started.push(await bench.start(server.name, { isPlain: true }))
        else if (server.address.isPlain) started.push(server)
      }
      return await measurePlain(bench, started)
    } finally {
      for (const server of started) if (server.isOwn) await server.stop()
    }
  },
}

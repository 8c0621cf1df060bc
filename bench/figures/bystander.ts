// The effect of a slow receiver on unrelated connections: eight senders flood one receiver, which reads 1 MB/s and then
// nothing, while an unrelated pair (the bystander) exchanges packets.

import type { Figure } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import { probeLoad, type Load } from '../load/load.ts'
import { rowOf, withOwnTarget } from '../row.ts'

const SENDERS = 8
const READ_BYTES_PER_SECOND = 1_000_000
/**
 * The receiver reads slowly for half of the time and nothing in the other half, which is longer than the 2 s after which
 * servers close a connection that reads nothing.
 */
const SECONDS = 8

export const bystander: Figure = {
  name: 'bystander',
  title: 'A bystander beside a flood to a slow receiver',
  async measure(bench) {
    const seconds = bench.effort.isQuick ? 4 : SECONDS
    const { warmSeconds } = bench.effort
    const probe = probeLoad(seconds, warmSeconds)
    const flood: Load = {
      topology: 'fan-in',
      count: SENDERS,
      rate: 'all',
      seconds,
      warmSeconds,
      slow: { bytesPerSecond: READ_BYTES_PER_SECOND, untilSeconds: warmSeconds + seconds / 2 },
    }
    const measured = await bench.interleaved(bench.servers, async (server) => {
      const [alone] = await bench.runLoads(server, [probe])
      const [flooded, beside] = await bench.runLoads(server, [flood, probe])
      return {
        alone: alone === undefined ? Number.NaN : delayMs(alone.delays, 0.99),
        beside: beside === undefined ? Number.NaN : delayMs(beside.delays, 0.99),
        lost: beside === undefined ? Number.NaN : 100 * (1 - beside.received / beside.due),
        closedAfter: flooded?.firstClosedSeconds ?? Number.NaN,
      }
    })
    const ratio = rowOf(
      { label: 'p99 with the flood / p99 without', unit: '×', digits: 2 },
      measured,
      (round) => round.beside / round.alone,
    )
    return {
      rows: [
        rowOf(
          { label: "bystander's p99 without a flood", unit: 'ms', digits: 3 },
          measured,
          ({ alone }) => alone,
        ),
        rowOf({ label: "bystander's p99 with it", unit: 'ms', digits: 3 }, measured, ({ beside }) => beside),
        withOwnTarget(ratio, '≤ 2 ×', (median) => median <= 2),
        rowOf({ label: "bystander's loss", unit: '%', digits: 3 }, measured, ({ lost }) => lost),
        rowOf(
          { label: 'slow receiver closed after (-1: never)', unit: 's', digits: 1 },
          measured,
          ({ closedAfter }) => closedAfter,
        ),
      ],
      notes: [
        `The flood is 1420-byte packets, as many as eight senders can send; its receiver reads 1 MB/s in the first half of the time and nothing in the second. The bystander is a probe: 64-byte packets, 1,000 per second.`,
      ],
    }
  },
}

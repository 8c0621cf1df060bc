// What a complete login costs a server's processor: TCP, TLS 1.3, HTTP upgrade, ClientInfo, ServerInfo, 64 under way
// at once.

import type { Figure } from '../figure.ts'
import { rowOf, withBounds } from '../row.ts'
import { RIVAL } from '../server.ts'
import { holdPhases } from './idle-phases.ts'

/** About two seconds of a processor's time: hundreds of its ticks. */
const LOGINS = 2_000

export const logins: Figure = {
  name: 'logins',
  title: 'Complete logins',
  async measure(bench) {
    const count = bench.effort.isQuick ? LOGINS / 4 : LOGINS
    const measured = await bench.interleaved(bench.servers, async (server) => {
      const fresh = (await holdPhases(bench, server, count, ['fresh'])).get('fresh')
      const { open = 0, seconds = Number.NaN, serverCpuSeconds = Number.NaN } = fresh ?? {}
      return { perCpuSecond: open / serverCpuSeconds, perSecond: open / seconds }
    })
    const perCpuSecond = rowOf(
      { label: 'logins per CPU-second', unit: '1/s', digits: 0 },
      measured,
      (round) => round.perCpuSecond,
    )
    return {
      rows: [
        withBounds(perCpuSecond, { than: RIVAL, atLeast: 1 }),
        rowOf({ label: 'logins per second', unit: '1/s', digits: 0 }, measured, ({ perSecond }) => perSecond),
      ],
      notes: [
        `${count} logins a round, 64 under way at once, X25519 and TLS_AES_128_GCM_SHA256, a P-256 certificate, no resumption.`,
      ],
    }
  },
}

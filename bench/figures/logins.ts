// CPU time of a complete login: TCP, TLS 1.3, HTTP upgrade, ClientInfo, ServerInfo; 64 logins in progress at a time.

import type { Figure } from '../figure.ts'
import { rowOf, withBounds } from '../row.ts'
import { DERPER } from '../server.ts'
import { runIdlePhases } from './idle-phases.ts'

/** About two seconds of CPU time, which is hundreds of ticks of 10 ms. */
const LOGINS = 2_000

export const logins: Figure = {
  name: 'logins',
  title: 'Complete logins',
  async measure(bench) {
    const count = bench.effort.isQuick ? LOGINS / 4 : LOGINS
    const measured = await bench.interleaved(bench.servers, async (server) => {
      const fresh = (await runIdlePhases(bench, server, count, ['fresh'])).get('fresh')
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
        withBounds(perCpuSecond, { server: DERPER, atLeast: 1 }),
        rowOf({ label: 'logins per second', unit: '1/s', digits: 0 }, measured, ({ perSecond }) => perSecond),
      ],
      notes: [
        `${count} logins per round, 64 in progress at a time, X25519 and TLS_AES_128_GCM_SHA256, a P-256 certificate, no resumption.`,
      ],
    }
  },
}

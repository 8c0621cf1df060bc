// Puts the settings that a reload has changed in use: in the control thread's parts at once, in the relay threads by a
// message. Decides nothing: what may change is config/live-settings.ts, what a part does with it is its own business. Runs
// on the control thread.

import { isDeepStrictEqual } from 'node:util'
import type { LiveSettings } from '#config/live-settings.ts'
import type { Log } from '#ops/log.ts'
import type { RelayAdmission } from './admission.ts'
import type { BootstrapDns } from './bootstrap-dns.ts'
import type { MapService } from './map-service.ts'
import type { MeshService } from './mesh-service.ts'
import type { MemoryGuard } from './memory-guard.ts'
import type { MonthService } from './month-service.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { ShownIdentity } from './shown-identity.ts'
import type { UnacknowledgedService } from './unacknowledged-service.ts'

export interface ChangeableParts {
  readonly log: Log
  readonly threads: Pick<RelayThreads, 'broadcast'>
  readonly admission: RelayAdmission
  readonly shown: Pick<ShownIdentity, 'use'>
  readonly month: Pick<MonthService, 'setRule'>
  readonly memoryGuard: Pick<MemoryGuard, 'setBytesMax'>
  readonly bootstrapDns: BootstrapDns
  /** Undefined without a mesh key. */
  readonly mesh:
    | (Pick<MeshService, 'serveMap'> & { readonly map: Pick<MapService, 'useHoldDowns'> | undefined })
    | undefined
  /** Undefined if the relay threads set the limit as a socket option. */
  readonly unacknowledged: UnacknowledgedService | undefined
}

export function settingsApplier(parts: ChangeableParts): (now: LiveSettings, before: LiveSettings) => void {
  const { log, threads, admission, shown, month, memoryGuard, bootstrapDns, mesh, unacknowledged } = parts
  return (now, before) => {
    const isNew = (name: keyof LiveSettings): boolean => !isDeepStrictEqual(now[name], before[name])
    // Before the threads are told: their next question may be by the new policy.
    if (isNew('admission')) admission.setPolicy(now.admission)
    const { limits, home, disallowedAppNames, rebalancePerSecond } = now
    const { isOpen, kicksFrom } = now.admission
    threads.broadcast({
      kind: 'liveSettings',
      settings: { limits, home, disallowedAppNames, rebalancePerSecond, admission: { isOpen, kicksFrom } },
    })
    if (isNew('mapHoldDowns')) mesh?.map?.useHoldDowns(now.mapHoldDowns)
    mesh?.serveMap(now.isMapServed)
    if (isNew('bootstrapDnsNames')) bootstrapDns.setNames(now.bootstrapDnsNames)
    if (limits.tcpUserTimeoutMs !== before.limits.tcpUserTimeoutMs) {
      unacknowledged?.setLimit(limits.tcpUserTimeoutMs)
    }
    if (!isDeepStrictEqual(limits.month, before.limits.month)) month.setRule(limits.month)
    if (limits.memoryBytesMax !== before.limits.memoryBytesMax) memoryGuard.setBytesMax(limits.memoryBytesMax)
    if (isNew('shown')) shown.use(now.shown)
    // A level that SIGUSR2 has set stays, unless the setting changes.
    if (isNew('logLevel')) log.setLevel(now.logLevel)
  }
}

// Makes what counts the bytes of the month, of the relay and of tenants, and tells the relay threads what follows from both.
// Construction only. Runs on the control thread.

import type { NamedRoster } from '#admission/tenant-roster.ts'
import type { Settings } from '#config/settings.ts'
import type { Log } from '#ops/log.ts'
import { MonthService } from './month-service.ts'
import type { RelayThreads } from './relay-threads.ts'
import { TenantMonths } from './tenant-months.ts'

export interface MonthParts {
  readonly month: MonthService
  readonly tenantMonths: TenantMonths
  /** Tells the relay threads of the tenants from now on; undefined: there are none. */
  useTenants(named: NamedRoster | undefined): void
}

export function makeMonths(
  { limits, threadCount }: Settings,
  {
    log,
    stateFolder: folder,
    threads,
  }: { readonly log: Log; readonly stateFolder: string | undefined; readonly threads: RelayThreads },
): MonthParts {
  let areAll = false
  let tenants: readonly number[] = []
  const tell = (): void => threads.broadcast({ kind: 'discoOnly', areAll, tenants })
  const month = new MonthService({
    folder,
    log,
    rule: limits.month,
    sentBytes: () => threads.counters.reduce((sum, counters) => sum + counters.get('wireBytesOut'), 0),
    wall: Date.now,
    onDiscoOnly: (isDiscoOnly) => {
      areAll = isDiscoOnly
      tell()
    },
  })
  const tenantMonths = new TenantMonths({
    folder,
    log,
    threadCount,
    wall: Date.now,
    onDiscoOnly: (numbers) => {
      tenants = numbers
      tell()
    },
  })
  const useTenants = (named: NamedRoster | undefined): void => {
    const sums = tenantMonths.use(named)
    threads.broadcast({ kind: 'tenants', roster: named && withoutNames(named), sums })
    tenantMonths.judge()
  }
  return { month, tenantMonths, useTenants }
}

/** The relay threads go by numbers. */
function withoutNames({ keys, tenants, areApart, rules }: NamedRoster): Omit<NamedRoster, 'names'> {
  return { keys, tenants, areApart, rules }
}

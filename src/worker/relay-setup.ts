// Makes the relay of a thread from the settings. Construction only. Runs on a relay thread.

import { OPEN_ADMISSION } from '#admission/remote-admission.ts'
import type { AdmissionSettings } from '#config/settings.ts'
import { dividedBudget } from '#protocol/budget.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import type { Counters } from '#relay/counters.ts'
import type { Admission, Observer, OtherThreads, Routes, TenantRoster } from '#relay/ports.ts'
import { Relay } from '#relay/relay.ts'
import { rowOf } from '#relay/tenant-sums.ts'
import { later, now } from './clock.ts'
import { RandomSupply } from './random-supply.ts'
import type { MemoryState, RelayThreadData, ToRelayThread } from './thread-messages.ts'

type TenantsMessage = Extract<ToRelayThread, { kind: 'tenants' }>

export interface RelaySetup {
  readonly data: RelayThreadData
  /** Distinguishes this run of the relay from any other. */
  readonly instance: string
  readonly counters: Counters
  /** Not asked if the relay is open to everybody. */
  readonly admission: Admission
  readonly observer: Observer
  readonly routes: Routes
  readonly threads: OtherThreads
}

/** So much less data may wait when the memory of the process is spent. */
const WAITING_SHARE_WHEN_SPENT = 1 / 8

/** The limits of one thread: its share of what the relay's sessions may hold and send together. */
export function threadLimits(
  limits: RelayLimits,
  threadCount: number,
  memory: MemoryState = 'enough',
): RelayLimits {
  const { budgets, addresses } = limits
  const waitingBytesMax = limits.waitingBytesMax * (memory === 'spent' ? WAITING_SHARE_WHEN_SPENT : 1)
  const { connectionsPerSecond, loginsPerSecond } = addresses
  return {
    ...limits,
    budgets: { ...budgets, relay: dividedBudget(budgets.relay, threadCount) },
    addresses: {
      ...addresses,
      connectionsPerSecond: connectionsPerSecond / threadCount,
      loginsPerSecond: loginsPerSecond / threadCount,
    },
    waitingBytesMax: waitingBytesMax / threadCount,
  }
}

/** The tenants as one thread has them: its share of what each may send, and where it adds up what it sends to each. */
export function threadRoster(
  { roster, sums }: Pick<TenantsMessage, 'roster' | 'sums'>,
  { settings, threads }: Pick<RelayThreadData, 'settings' | 'threads'>,
): TenantRoster | undefined {
  if (roster === undefined) return undefined
  const rules = roster.rules.map((rule) => ({ ...rule, ...dividedBudget(rule, settings.threadCount) }))
  return { ...roster, rules, sentBytes: sums && rowOf(sums, threads.index) }
}

/** @param remote asks the control thread */
export function admissionFor({ isOpen }: Pick<AdmissionSettings, 'isOpen'>, remote: Admission): Admission {
  return isOpen ? OPEN_ADMISSION : remote
}

export function makeRelay(setup: RelaySetup): Relay {
  const { instance, counters, admission, observer, routes, threads } = setup
  const { settings } = setup.data
  const flush = (): void => relay.flushQueue.flush()
  const relay: Relay = new Relay({
    nodeKey: settings.nodeKey,
    meshKeys: settings.meshKeys,
    disallowedAppNames: settings.disallowedAppNames,
    kicksFrom: settings.admission.kicksFrom,
    instance,
    limits: threadLimits(settings.limits, settings.threadCount),
    counters,
    admission: admissionFor(settings.admission, admission),
    observer,
    routes,
    now,
    random: new RandomSupply().take,
    later,
    flushLater: () => void setImmediate(flush),
    threads,
  })
  return relay
}

// What a relay under a service manager starts with: the service that reports to it, and the log lines about the sockets that
// it has handed over. Construction only. Runs on the control thread.

import type { DrainWatch } from '#ops/drain-watch.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Native } from '#transport/native.ts'
import type { Adoption, ListenerName } from './inherited-listeners.ts'
import type { Readiness } from './readiness.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Run } from './run.ts'
import { isInSameService } from './same-service.ts'
import type { SystemdEnvironment } from './systemd-environment.ts'
import { SystemdNotifier } from './systemd-notifier.ts'
import { SystemdNotifyService } from './systemd-notify-service.ts'

export interface NotifySurroundings {
  readonly log: Log
  readonly native: Native | undefined
  readonly systemd: SystemdEnvironment
}

export interface NotifySources {
  readonly readiness: Readiness
  readonly threads: RelayThreads
  readonly links: LinkWatch
  readonly drain: DrainWatch
  readonly run: Pick<Run, 'isNewest' | 'otherPid'>
}

/** Undefined if nobody wants to be told. */
export function makeNotify(
  { log, native, systemd }: NotifySurroundings,
  { readiness, threads, links, drain, run }: NotifySources,
): SystemdNotifyService | undefined {
  const { notifySocket: socket, watchdogMs } = systemd
  if (socket === undefined) return undefined
  const clients = (): string => {
    const count = threads.counters.reduce(
      (sum, counters) => sum + counters.get('clientsCurrent') - counters.get('siblingsCurrent'),
      0,
    )
    return count === 1 ? '1 client' : `${count} clients`
  }
  return new SystemdNotifyService({
    notifier: new SystemdNotifier({ socket, native, log }),
    watchdogMs,
    health: () => readiness.health.report(),
    areThreadsAlive: () => readiness.areThreadsAlive,
    activity: () => `serving ${clients()}${meshText(links)}`,
    ending: () => `${drain.isDraining ? 'draining' : 'stopping'}, ${clients()} left`,
    speaks: () => run.isNewest || run.otherPid === undefined || !isInSameService(run.otherPid),
    now: monotonicMs,
  })
}

function meshText(links: LinkWatch): string {
  const siblings = links.siblings()
  if (siblings.length === 0) return ''
  return `, mesh ${siblings.filter(({ isUp }) => isUp).length}/${siblings.length}`
}

/** Of CLOCK_MONOTONIC, which service managers compare with their own. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

/** Logs which sockets were handed over, and what had to change for them. */
export function reportAdoption(
  { listeners, warning }: Adoption,
  { inherited }: SystemdEnvironment,
  log: Log,
): void {
  if (inherited.sockets.length === 0) return
  const count = (name: ListenerName): number | undefined => listeners[name].length || undefined
  const [derp, http, stun, admin] = [count('derp'), count('http'), count('stun'), count('admin')]
  log.info(LogEvent.socketsInherited, { derp, http, stun, admin })
  if (warning !== undefined) log.warn(LogEvent.settingWarning, { message: warning })
}

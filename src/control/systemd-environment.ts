// What a service manager tells this process by environment variables: sockets that it hands over, where to report the state
// of the service, and how often a sign of life is due (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)). The
// variables are removed, so that no process that the relay starts takes them for its own.

import { inheritedSockets, LISTEN_VARIABLES, type InheritedSockets } from '#transport/inherited-sockets.ts'

export interface SystemdEnvironment {
  readonly inherited: InheritedSockets
  /** Undefined: nobody wants to know. */
  readonly notifySocket: string | undefined
  /** Without a sign of life for so long, the service manager restarts the relay. */
  readonly watchdogMs: number | undefined
}

export const NO_SYSTEMD: SystemdEnvironment = {
  inherited: { sockets: [], problems: [] },
  notifySocket: undefined,
  watchdogMs: undefined,
}

const NOTIFY_VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const

/** Reads the variables that are meant for the process `pid`, and deletes all of them. */
export function takeSystemdEnvironment(
  env: Record<string, string | undefined>,
  pid: number,
): SystemdEnvironment {
  const { NOTIFY_SOCKET: notifySocket, WATCHDOG_USEC: watchdogUs = '', WATCHDOG_PID: watchedPid } = env
  const isWatched = watchedPid === undefined || watchedPid === String(pid)
  const found: SystemdEnvironment = {
    inherited: inheritedSockets(env, pid),
    // Other kinds of addresses are for virtual machines (vsock:).
    notifySocket: notifySocket !== undefined && /^[/@]./.test(notifySocket) ? notifySocket : undefined,
    watchdogMs: isWatched && /^[1-9]\d*$/.test(watchdogUs) ? Number(watchdogUs) / 1_000 : undefined,
  }
  for (const name of [...LISTEN_VARIABLES, ...NOTIFY_VARIABLES]) delete env[name]
  return found
}

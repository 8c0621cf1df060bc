// Whether this relay uses native calls (transport/native.ts): loads and tests them as the setting says, once for the whole
// process, and logs where it does without. Runs on the control thread; each relay thread loads its own.

import type { Settings } from '#config/settings.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { NativeWays } from '#ops/native-families.ts'
import { loadNative, type Native } from '#transport/native.ts'
import type { InheritedListeners } from './inherited-listeners.ts'
import type { SystemdEnvironment } from './systemd-environment.ts'
import type { ThreadWays } from './thread-ways.ts'

export interface NativeUse {
  readonly native: Native | undefined
  readonly systemd: Pick<SystemdEnvironment, 'notifySocket'>
  readonly inherited: InheritedListeners
  readonly threadWays: ThreadWays
}

/**
 * The native calls; undefined where they do not work or are not wanted.
 *
 * @throws Error if they do not work and the setting demands them
 */
export async function openNative(
  { native: setting }: Pick<Settings, 'native'>,
  log: Log,
): Promise<Native | undefined> {
  if (setting === 'off') {
    log.info(LogEvent.nativeOff)
    return undefined
  }
  try {
    return await loadNative()
  } catch (error) {
    const reason = firstLine(error)
    if (setting === 'on')
      throw new Error(`native calls do not work, and -native is on: ${reason}`, { cause: error })
    log.warn(LogEvent.nativeFailed, { reason })
    return undefined
  }
}

/** The way in use for each thing that Node offers no call for. */
export function nativeWays(
  { limits }: Pick<Settings, 'limits'>,
  { native, systemd, inherited, threadWays }: NativeUse,
): NativeWays {
  const isInherited = Object.values(inherited).some(({ length }) => length > 0)
  return {
    tcp_user_timeout: limits.tcpUserTimeoutMs === 0 ? 'off' : native ? 'socket_option' : 'proc_scan',
    client_round_trip: native ? 'tcp_info' : 'off',
    memory_return: native ? 'malloc_trim' : 'off',
    systemd_notify: systemd.notifySocket === undefined ? 'off' : native ? 'datagram' : 'program',
    inherited_sockets: !isInherited ? 'off' : native ? 'duplicates' : 'one_per_thread',
    get client_tls() {
      return threadWays.inUse('client_tls')
    },
    get poll_rounds() {
      return threadWays.inUse('poll_rounds')
    },
  }
}

/** Node's errors about modules go on with a stack of files that required it. */
function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0] ?? ''
}

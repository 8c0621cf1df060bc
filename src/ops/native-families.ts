// The metric that tells which way this relay does what Node offers no call for: by native calls, or otherwise.

import { sample, type MetricFamily } from './metric-family.ts'

/** Each use of native calls, and the way in use. */
export interface NativeWays {
  readonly tcp_user_timeout: 'socket_option' | 'proc_scan' | 'off'
  readonly client_round_trip: 'tcp_info' | 'off'
  readonly memory_return: 'malloc_trim' | 'off'
  readonly systemd_notify: 'datagram' | 'program' | 'off'
  readonly inherited_sockets: 'duplicates' | 'one_per_thread' | 'off'
  /** `mixed`: not the same on all threads. */
  readonly client_tls: 'openssl' | 'handles' | 'sockets' | 'mixed' | 'off'
  readonly poll_rounds: 'timerfd' | 'mixed' | 'off'
}

export function nativeFamilies(ways: NativeWays): MetricFamily[] {
  return [
    {
      name: 'derp_native_info',
      type: 'gauge',
      help: 'Always 1. The labels name a use of native calls and the way in use: off if there is none.',
      samples: Object.entries(ways).map(([use, way]) => sample(1, { use, way: String(way) })),
    },
  ]
}

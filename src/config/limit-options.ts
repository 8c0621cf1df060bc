// The options about what one client may take: connections, bytes, packets, time. A part of the table in `options.ts`; how
// the values become settings is `limit-settings.ts`.

import { byteSize, duration, durationOf, integer, rate, text } from './option-kind.ts'
import type { OptionTable } from './option.ts'

/** Two of the largest packets: with room for fewer, one burst of full-size packets would drop its own. */
const OUTBOX_BYTES_MIN = 131_072
/** A relay that busy threads lend less to would drop what is merely on its way. */
const WAITING_BYTES_MIN = 16_777_216
/** Clients give up after 120 s of silence. */
const KEEPALIVE_MS_MAX = 110_000
/** More often would wake every phone's radio all the time. */
const KEEPALIVE_MS_MIN = 5_000

export const LIMITS = {
  'accept-connection-limit': {
    kind: rate,
    fallback: '+Inf',
    about: 'New connections per second; it needs a burst to have effect',
  },
  'accept-connection-burst': {
    kind: integer(1),
    fallbackNote: 'no limit',
    about: 'New connections at once before that limit holds',
  },
  'rate-config': {
    kind: text('the path of a file', 'FILE'),
    about: 'JSON with PerClientRateLimitBytesPerSec and PerClientRateBurstBytes: what one client may send',
  },
  'outbox-bytes': {
    kind: byteSize(OUTBOX_BYTES_MIN),
    fallback: '512KiB',
    about:
      'Bytes that may wait for one client before the oldest packets are dropped; the default is what 100 Mbit/s carry in 40 ms',
  },
  'outbox-packets': {
    kind: integer(0),
    env: ['TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH'],
    fallback: '0',
    about: 'Packets that may wait for one client beside that; 0 leaves it to the bytes',
  },
  'waiting-bytes': {
    kind: byteSize(WAITING_BYTES_MIN),
    fallbackNote: 'a quarter of the memory',
    about:
      'Bytes that may wait for all clients together; beyond half of it each may have less waiting, and the oldest packets are dropped',
  },
  keepalive: {
    kind: durationOf(KEEPALIVE_MS_MIN, KEEPALIVE_MS_MAX),
    fallbackNote: '65s with TLS, 45s without',
    about:
      'Send each client a keepalive at least so often: sooner than a proxy in front cuts (nginx 60s, haproxy 50s). Sessions differ, by default between 60s and 65s with TLS, 25s and 45s without',
  },
  'tcp-keepalive-time': {
    kind: duration,
    fallback: '10m',
    about:
      "TCP's own keepalive; long, because DERP's keepalive finds dead clients sooner and radios may sleep",
  },
  'tcp-user-timeout': {
    kind: duration,
    fallback: '15s',
    about:
      'A client that acknowledges nothing for this long is closed; 0 leaves it to the kernel (15 minutes)',
  },
  'tcp-write-timeout': {
    kind: duration,
    fallback: '2s',
    about: 'A client that takes nothing for this long is closed; not for mesh peers; 0 is never',
  },
} as const satisfies OptionTable

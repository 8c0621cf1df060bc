// The options that limit clients: connections, bytes, packets, time. A part of the table in `options.ts`;
// `limit-settings.ts` turns the values into settings.

import {
  boolean,
  budget,
  byteSize,
  duration,
  durationOf,
  integer,
  networks,
  rate,
  text,
  choice,
  soldBytes,
} from './option-kind.ts'
import type { OptionTable } from './option.ts'

/** Room for two of the largest packets. With less, one burst of full-size packets would drop its own packets. */
const OUTBOX_BYTES_MIN = 131_072
/** With less, a relay with busy threads would drop packets that are only in transit. */
const WAITING_BYTES_MIN = 16_777_216
/** Clients give up after 120 s of silence. */
const KEEPALIVE_MS_MAX = 110_000
/** A shorter interval would keep the radio of every phone awake. */
const KEEPALIVE_MS_MIN = 5_000

export const LIMITS = {
  'accept-connection-limit': {
    kind: rate,
    fallback: '+Inf',
    about:
      'Accept at most this many new connections per second. Has no effect without -accept-connection-burst',
    reload: 'value',
  },
  'accept-connection-burst': {
    kind: integer(1),
    fallbackNote: 'no limit',
    about: 'Accept this many new connections at once before -accept-connection-limit applies',
    reload: 'value',
  },
  'address-connections': {
    kind: rate,
    fallback: '+Inf',
    about:
      'Accept at most this many new connections per second from one address, or from the /64 of an IPv6 address. A minute of it may come at once, and 20 in any case. Behind a proxy, the address is that of the proxy',
    reload: 'value',
  },
  'address-logins': {
    kind: rate,
    fallback: '+Inf',
    about: 'Accept at most this many logins per second from one address. As with -address-connections',
    reload: 'value',
  },
  'address-ban': {
    kind: duration,
    fallback: '10m',
    about:
      'Refuse an address for this long when it has gone on beyond one of its rates. Clients that are connected stay. 0 means never',
    reload: 'value',
  },
  'address-exempt': {
    kind: networks,
    fallback: '127.0.0.0/8,::1',
    about:
      'Networks to which the limits of addresses do not apply. Addresses from which a sibling has logged in are exempt besides',
    reload: 'value',
  },
  'rate-config': {
    kind: text('the path of a file', 'FILE'),
    about:
      'JSON file with PerClientRateLimitBytesPerSec and PerClientRateBurstBytes: the limit of what one client may send',
    reload: 'value',
  },
  'connection-budget': {
    kind: budget,
    fallbackNote: 'no limit',
    about:
      'What each connection of a client may send in a second, in addition to -rate-config. A client beyond it is read more slowly; nothing is dropped',
    reload: 'value',
  },
  'key-budget': {
    kind: budget,
    fallbackNote: 'no limit',
    about:
      'What the connections of each key may send together in a second, unless the list of keys, a lease or the backend says another budget for the key',
    reload: 'value',
  },
  'relay-budget': {
    kind: budget,
    fallbackNote: 'no limit',
    about:
      'What all clients together may send in a second. What siblings forward counts, and is dropped beyond it (over_share)',
    reload: 'value',
  },
  'announce-budget': {
    kind: boolean,
    fallback: 'false',
    about:
      'Tell each client at login how many bytes its connection and its key may send. Clients of Tailscale then drop what is beyond it, instead of sending it later',
    reload: 'value',
  },
  'month-bytes': {
    kind: soldBytes,
    fallbackNote: 'no limit',
    about:
      'Bytes that this relay may send in a calendar month (UTC), as far as -month-over says what follows. There is an alarm at 80% and at 100%',
    reload: 'value',
  },
  'month-over': {
    kind: choice('alarm', 'disco'),
    fallback: 'alarm',
    about:
      'When the bytes of the month are used up: relay everything, and raise an alarm; or drop data packets (over_month) and relay disco messages alone, which help clients to find direct paths. Nobody is disconnected',
    reload: 'value',
  },
  'outbox-bytes': {
    kind: byteSize(OUTBOX_BYTES_MIN),
    fallback: '512KiB',
    about:
      'Maximum number of bytes that may wait for one client; beyond it, the oldest packets are dropped. The default is what 100 Mbit/s carry in 40 ms',
    reload: 'value',
  },
  'outbox-packets': {
    kind: integer(0),
    env: ['TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH'],
    fallback: '0',
    about:
      'Maximum number of packets that may wait for one client, in addition to -outbox-bytes. 0 means no limit of packets',
    reload: 'value',
  },
  'waiting-bytes': {
    kind: byteSize(WAITING_BYTES_MIN),
    fallbackNote: 'a quarter of the available memory',
    about:
      "Maximum number of bytes that may wait for all clients together. Above half of it, each client's share shrinks, and the oldest packets beyond the share are dropped",
    reload: 'value',
  },
  'memory-bytes': {
    kind: byteSize(0),
    fallbackNote: '90% of the available memory',
    about:
      'Resident memory of the relay beyond which it refuses new connections and is not ready, so that clients go elsewhere; those that are connected stay. 0: it never does, and the system ends it when there is no memory left',
    reload: 'value',
  },
  keepalive: {
    kind: durationOf(KEEPALIVE_MS_MIN, KEEPALIVE_MS_MAX),
    fallbackNote: '65s with TLS, 45s without',
    about:
      'Send each client a keepalive at least this often. Choose less than the idle timeout of a proxy in front (nginx 60s, haproxy 50s). The interval differs between sessions: by default 60s to 65s with TLS, 25s to 45s without',
    reload: 'value',
  },
  'tcp-keepalive-time': {
    kind: duration,
    fallback: '10m',
    about:
      "Idle time before TCP's own keepalive. It is long because DERP's keepalive finds dead clients sooner, and because the radios of phones may sleep",
  },
  'tcp-user-timeout': {
    kind: duration,
    fallback: '15s',
    about:
      'Disconnect clients that acknowledge no data for this long. 0 leaves it to the kernel (15 minutes)',
    reload: 'value',
  },
  'tcp-write-timeout': {
    kind: duration,
    fallback: '2s',
    about: 'Disconnect clients that accept no data for this long. Does not apply to siblings; 0 disables it',
    reload: 'value',
  },
} as const satisfies OptionTable

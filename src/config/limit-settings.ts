// Resolves the limits of clients: bytes, packets, time, and new connections. Reads derper's rate file.

import { NO_BUDGET } from '#protocol/budget.ts'
import { SEND_PACKET_BYTES_MAX } from '#protocol/limits.ts'
import type { RateLimit, RelayLimits } from '#protocol/relay-limits.ts'
import { readFileText, whyUnread } from './file-text.ts'
import type { Diagnostics } from './diagnostics.ts'
import { didYouMean, nearestWord } from './nearest-word.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'

const RATE_KEY = 'PerClientRateLimitBytesPerSec'
const BURST_KEY = 'PerClientRateBurstBytes'
const RATE_EXPECTED = `{"${RATE_KEY}": N, "${BURST_KEY}": M}, both whole numbers of bytes`

/** derper's interval. It is long so that the radios of phones can sleep. */
const KEEP_ALIVE = { minMs: 60_000, maxMs: 65_000 }
/** A plain port stands behind a proxy: nginx closes an idle connection after 60 s, Debian's haproxy after 50 s. */
const KEEP_ALIVE_BEHIND_PROXY = { minMs: 25_000, maxMs: 45_000 }
/** The shortest interval as a share of the operator's maximum; sessions are spread between the two. */
const KEEP_ALIVE_MIN_SHARE = 0.75

/** The share of the memory that the process may use. TLS and the program need the rest. */
const WAITING_SHARE = 1 / 4

/** What is left is for what a second brings, and for pages that the kernel counts as well. */
const RESIDENT_SHARE = 0.9

export function resolveLimits(
  values: OptionValues<ServeOptions>,
  { isTls, memoryBytes }: { readonly isTls: boolean; readonly memoryBytes: number },
  diagnostics: Diagnostics,
): RelayLimits {
  const acceptsPerSecond = values.get('accept-connection-limit')
  const acceptBurst = values.get('accept-connection-burst') ?? Infinity
  return {
    outboxBytesMax: values.get('outbox-bytes'),
    outboxPacketsMax: values.get('outbox-packets') || Infinity,
    waitingBytesMax: values.get('waiting-bytes') ?? Math.floor(memoryBytes * WAITING_SHARE),
    memoryBytesMax: resolveMemory(values.get('memory-bytes'), memoryBytes),
    writeTimeoutMs: values.get('tcp-write-timeout'),
    rate: resolveRate(values, diagnostics),
    budgets: {
      connection: values.get('connection-budget') ?? NO_BUDGET,
      key: values.get('key-budget') ?? NO_BUDGET,
      relay: values.get('relay-budget') ?? NO_BUDGET,
      areAnnounced: values.get('announce-budget'),
    },
    acceptsPerSecond,
    acceptBurst,
    month: { bytesMax: values.get('month-bytes') ?? Infinity, over: values.get('month-over') },
    addresses: {
      connectionsPerSecond: values.get('address-connections'),
      loginsPerSecond: values.get('address-logins'),
      banMs: values.get('address-ban'),
      exempt: values.get('address-exempt'),
    },
    keepAlive: resolveKeepAlive(values.get('keepalive'), isTls),
    tcpKeepaliveMs: values.get('tcp-keepalive-time'),
    tcpUserTimeoutMs: values.get('tcp-user-timeout'),
  }
}

function resolveMemory(bytes: number | undefined, memoryBytes: number): number {
  return bytes === 0 ? Infinity : (bytes ?? Math.floor(memoryBytes * RESIDENT_SHARE))
}

function resolveKeepAlive(maxMs: number | undefined, isTls: boolean): RelayLimits['keepAlive'] {
  if (maxMs !== undefined) return { minMs: KEEP_ALIVE_MIN_SHARE * maxMs, maxMs }
  return isTls ? KEEP_ALIVE : KEEP_ALIVE_BEHIND_PROXY
}

/** Reads derper's rate file. A rate of 0 disables the limit; the burst is at least one whole packet. */
function resolveRate(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): RateLimit | undefined {
  const path = values.get('rate-config')
  if (path === undefined) return undefined
  const where = values.where('rate-config')
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem(where, `${path} ${whyUnread(file)}`, RATE_EXPECTED)
  let content: unknown
  try {
    content = JSON.parse(file.text)
  } catch {
    return diagnostics.addProblem(where, `${path} is not JSON`, RATE_EXPECTED)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    return diagnostics.addProblem(where, `${path} is not a JSON object`, RATE_EXPECTED)
  }
  const numbers = { [RATE_KEY]: 0, [BURST_KEY]: 0 }
  for (const [name, value] of Object.entries(content)) {
    const key = ([RATE_KEY, BURST_KEY] as const).find((known) => known.toLowerCase() === name.toLowerCase())
    if (key === undefined) {
      const hint = didYouMean(nearestWord(name, [RATE_KEY, BURST_KEY]))
      diagnostics.addProblem(
        where,
        `${path} has the unknown key ${JSON.stringify(name)}${hint}`,
        RATE_EXPECTED,
      )
    } else if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      diagnostics.addProblem(where, `${path} has an invalid ${key}: ${JSON.stringify(value)}`, RATE_EXPECTED)
    } else {
      numbers[key] = value
    }
  }
  if (numbers[RATE_KEY] === 0) return undefined
  return {
    bytesPerSecond: numbers[RATE_KEY],
    burstBytes: Math.max(numbers[BURST_KEY], SEND_PACKET_BYTES_MAX),
  }
}

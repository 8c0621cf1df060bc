// The kinds of values that options have: their text form in flags and environment variables, their shape in the YAML
// file, and the description of what is expected. Text forms are Go's, so that derper's command lines mean the same
// here. Parses single values only; resolve-settings.ts checks them together.

import { isIP } from 'node:net'
import { z } from 'zod'
import { readBudget, type Budget } from '#protocol/budget.ts'
import { parseNetwork, type IpNetwork } from '#protocol/ip-network.ts'
import { parseSoldBytes, SOLD_BYTES_EXPECTED } from '#protocol/sold-bytes.ts'
import { parseWebAddress, requestable } from '#protocol/web-address.ts'
import { parseEndpoint, type Endpoint } from './endpoint.ts'

export interface OptionKind<T> {
  /** Completes "expected …" in a message. */
  readonly expected: string
  /** The value; undefined for an invalid text. */
  parse(text: string): T | undefined
  /** The value's shape in the YAML file. */
  readonly shape: z.ZodType
  /** Stands for the value on a usage page, if it can say more than VALUE. */
  readonly placeholder?: string
  /** As a flag, it stands alone (`-stun`) or has its value after `=`, as Go's booleans do. */
  readonly isBoolean?: true
}

/** Any text except the empty one. */
export function text(expected: string, placeholder = 'TEXT'): OptionKind<string> {
  return {
    expected,
    placeholder,
    parse: (given) => (given === '' ? undefined : given),
    shape: z.string(),
  }
}

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

export const boolean: OptionKind<boolean> = {
  expected: 'true or false',
  parse: (given) => (TRUE.has(given) ? true : FALSE.has(given) ? false : undefined),
  shape: z.boolean(),
  isBoolean: true,
}

/** A whole number from `min` to `max`, decimal. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): OptionKind<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`
  return {
    expected: `a whole number ${range}`,
    placeholder: 'N',
    parse: (given) => {
      const value = /^[+-]?\d+$/.test(given) ? Number(given) : Number.NaN
      return value >= min && value <= max ? value : undefined
    },
    shape: z.int().min(min).max(max),
  }
}

/** A port number. `min` is −1 where -1 stands for no port, and 0 where the system may choose. */
export function port(min: -1 | 0 | 1): OptionKind<number> {
  const range = `a port from ${Math.max(min, 0)} to 65535`
  return { ...integer(min, 65_535), expected: min === -1 ? `${range}, or -1` : range, placeholder: 'PORT' }
}

/** A number above zero; `+Inf` disables the limit. */
export const rate: OptionKind<number> = {
  expected: 'a number above 0, or +Inf for no limit',
  placeholder: 'N',
  parse: (given) => {
    if (/^\+?inf(inity)?$/i.test(given)) return Infinity
    const value = /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(given) ? Number(given) : Number.NaN
    return value > 0 ? value : undefined
  },
  shape: z.number().positive(),
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/** Go's durations in milliseconds: `10m`, `1h2m`, `1.5s`, `500ms`; zero may stand without a unit. */
export const duration: OptionKind<number> = {
  expected: 'a duration such as 10m, 15s or 500ms, or 0 for none',
  placeholder: 'DURATION',
  parse: (given) => {
    if (given === '0') return 0
    if (!/^\+?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(given)) return undefined
    let sumMs = 0
    for (const [, amount, unit = ''] of given.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
      sumMs += Number(amount) * (UNIT_MS[unit] ?? Number.NaN)
    }
    return sumMs
  },
  shape: z.string(),
}

/** A duration within bounds, which messages give in seconds. */
export function durationOf(minMs: number, maxMs: number): OptionKind<number> {
  return {
    expected: `a duration from ${minMs / 1_000}s to ${maxMs / 1_000}s`,
    placeholder: duration.placeholder,
    parse: (given) => {
      const ms = duration.parse(given)
      return ms !== undefined && ms >= minMs && ms <= maxMs ? ms : undefined
    },
    shape: z.string(),
  }
}

/** A duration of a millisecond or less, within bounds. */
export function durationBetween(minMs: number, maxMs: number): OptionKind<number> {
  return { ...durationOf(minMs, maxMs), expected: `a duration from ${1_000 * minMs}us to ${1_000 * maxMs}us` }
}

const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, KiB: 1_024, MiB: 1_048_576 }

/** A number of bytes, plain or in GB or TB. */
export const soldBytes: OptionKind<number> = {
  expected: SOLD_BYTES_EXPECTED,
  placeholder: 'BYTES',
  parse: parseSoldBytes,
  shape: z.union([z.int().positive(), z.string()]),
}

/** A number of bytes, plain or in KiB or MiB. */
export function byteSize(min: number): OptionKind<number> {
  return {
    expected: `a number of bytes of ${min} or more, such as 262144, 512KiB or 1MiB`,
    placeholder: 'BYTES',
    parse: (given) => {
      const [, amount, unit = ''] = /^(\d+)(KiB|MiB)?$/.exec(given) ?? []
      const bytes = Number(amount) * (UNIT_BYTES[unit] ?? Number.NaN)
      return bytes >= min && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined
    },
    shape: z.union([z.int().min(min), z.string()]),
  }
}

/** Networks separated by commas. */
export const networks: OptionKind<readonly IpNetwork[]> = {
  expected: 'networks such as 192.0.2.0/24 or 2001:db8::/32, or addresses, separated by commas; or none',
  placeholder: 'NETWORKS',
  parse: (given) => {
    const entries = given === 'none' ? [] : list('').parse(given)
    const read = entries?.map(parseNetwork) ?? []
    return read.every((network) => network !== undefined) ? read : undefined
  },
  shape: z.union([z.array(z.string()), z.string()]),
}

/** What may be sent in a second, in the words of lists of keys. */
export const budget: OptionKind<Budget> = {
  expected: 'bytes-per-second N, packets-per-second N, or both in one text; 8192 bytes or more, or unlimited',
  placeholder: 'BUDGET',
  parse: (given) => {
    const read = readBudget(given.split(/\s+/).filter((word) => word !== ''))
    return 'budget' in read ? read.budget : undefined
  },
  shape: z.string(),
}

/** Entries separated by commas; white space around them is ignored. */
export function list(expected: string, placeholder = 'LIST'): OptionKind<readonly string[]> {
  return {
    expected,
    placeholder,
    parse: (given) =>
      given
        .split(',')
        .map((entry) => entry.trim())
        .filter((entry) => entry !== ''),
    shape: z.union([z.array(z.string()), z.string()]),
  }
}

/** One of the given values. */
export function choice<const T extends string>(...values: readonly T[]): OptionKind<T> {
  return {
    placeholder: values.join('|'),
    expected: values.length === 1 ? `${values[0]}` : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`,
    parse: (given) => values.find((value) => value === given),
    // 1.3 is a number to YAML.
    shape: values.some((value) => Number.isNaN(Number(value)))
      ? z.enum(values)
      : z.literal([...values, ...values.map(Number)]),
  }
}

/** A URL for HTTP requests, as the HTTP client of admission/ can use it. */
export const httpUrl: OptionKind<string> = {
  expected: 'a URL that starts with http:// or https://',
  placeholder: 'URL',
  parse: (given) => (isRequestable(given) ? given : undefined),
  shape: z.string(),
}

/** A URL whose host must prove its identity. */
export const httpsUrl: OptionKind<string> = {
  expected: 'a URL that starts with https://',
  placeholder: 'URL',
  parse: (given) => (/^https:/i.test(given) && isRequestable(given) ? given : undefined),
  shape: z.string(),
}

function isRequestable(given: string): boolean {
  try {
    requestable(parseWebAddress(given))
    return true
  } catch {
    return false
  }
}

export function ipAddress(version: 4 | 6): OptionKind<string> {
  return {
    expected: `an IPv${version} address`,
    placeholder: 'ADDRESS',
    parse: (given) => (isIP(given) === version ? given : undefined),
    shape: z.string(),
  }
}

/** The address of a listener. */
export const endpoint: OptionKind<Endpoint> = {
  expected: 'HOST:PORT or :PORT, an IPv6 address in brackets ([::1]:443)',
  placeholder: 'HOST:PORT',
  parse: parseEndpoint,
  shape: z.string(),
}

/** The address of a listener, or `off`. */
export const endpointOrOff: OptionKind<Endpoint | 'off'> = {
  expected: 'HOST:PORT, an IPv6 address in brackets ([::1]:9090), or off',
  placeholder: 'HOST:PORT|off',
  parse: (given) => (given === 'off' ? 'off' : parseEndpoint(given)),
  shape: z.string(),
}

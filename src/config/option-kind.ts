// The kinds of values that options have: how each is written in text (flags and environment), what the YAML file
// holds for it, and the words for what was expected. Text forms are Go's, so that derper's command lines mean
// the same here. Parsing only; whether a value makes sense beside others is decided later.

import { isIP, isIPv6 } from 'node:net'
import { z } from 'zod'
import { parseWebAddress, requestable } from '#protocol/web-address.ts'
import type { Endpoint } from './settings.ts'

export interface Kind<T> {
  /** Completes "expected …" in a message. */
  readonly expected: string
  /** The value, or undefined for text that is none. */
  parse(text: string): T | undefined
  /** The value's shape in the YAML file. */
  readonly shape: z.ZodType
  /** What stands for the value on a usage page, where it can say more than VALUE. */
  readonly placeholder?: string
  /** As a flag it stands alone (`-stun`) or takes its value behind `=`, as Go's booleans do. */
  readonly isBoolean?: true
}

/** Any text but the empty one. */
export function text(expected: string, placeholder = 'TEXT'): Kind<string> {
  return {
    expected,
    placeholder,
    parse: (given) => (given === '' ? undefined : given),
    shape: z.string(),
  }
}

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

export const boolean: Kind<boolean> = {
  expected: 'true or false',
  parse: (given) => (TRUE.has(given) ? true : FALSE.has(given) ? false : undefined),
  shape: z.boolean(),
  isBoolean: true,
}

/** A whole number from `min` to `max`, decimal. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Kind<number> {
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
export function port(min: -1 | 0 | 1): Kind<number> {
  const range = `a port from ${Math.max(min, 0)} to 65535`
  return { ...integer(min, 65_535), expected: min === -1 ? `${range}, or -1` : range, placeholder: 'PORT' }
}

/** A number above zero; `+Inf` is none at all. */
export const rate: Kind<number> = {
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
export const duration: Kind<number> = {
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

/** A duration within bounds, which are told in seconds. */
export function durationOf(minMs: number, maxMs: number): Kind<number> {
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

const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, KiB: 1_024, MiB: 1_048_576 }

/** A number of bytes, plain or in KiB or MiB. */
export function byteSize(min: number): Kind<number> {
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

/** Entries between commas; white space around them is not theirs. */
export function list(expected: string, placeholder = 'LIST'): Kind<readonly string[]> {
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

/** One of a few words. */
export function choice<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    placeholder: words.join('|'),
    expected: words.length === 1 ? `${words[0]}` : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
    parse: (given) => words.find((word) => word === given),
    // 1.3 is a number to YAML.
    shape: words.some((word) => Number.isNaN(Number(word)))
      ? z.enum(words)
      : z.literal([...words, ...words.map(Number)]),
  }
}

/** An address that HTTP requests go to, as whoever makes them understands it. */
export const httpUrl: Kind<string> = {
  expected: 'a URL that starts with http:// or https://',
  placeholder: 'URL',
  parse: (given) => (isRequestable(given) ? given : undefined),
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

export function ipAddress(version: 4 | 6): Kind<string> {
  return {
    expected: `an IPv${version} address`,
    placeholder: 'ADDRESS',
    parse: (given) => (isIP(given) === version ? given : undefined),
    shape: z.string(),
  }
}

/** What a listener binds, as Go writes it: `:443`, `127.0.0.1:443`, `[::1]:443`, `:https`. */
export const endpoint: Kind<Endpoint> = {
  expected: 'HOST:PORT or :PORT, an IPv6 address in brackets ([::1]:443)',
  placeholder: 'HOST:PORT',
  parse: parseEndpoint,
  shape: z.string(),
}

/** The same, or `off`. */
export const endpointOrOff: Kind<Endpoint | 'off'> = {
  expected: 'HOST:PORT, an IPv6 address in brackets ([::1]:9090), or off',
  placeholder: 'HOST:PORT|off',
  parse: (given) => (given === 'off' ? 'off' : parseEndpoint(given)),
  shape: z.string(),
}

const PORT_NAMES: Readonly<Record<string, number>> = { http: 80, https: 443 }

function parseEndpoint(given: string): Endpoint | undefined {
  const [, bracketed, plain, portText = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]+)$/.exec(given) ?? []
  const port = PORT_NAMES[portText] ?? (/^\d+$/.test(portText) ? Number(portText) : Number.NaN)
  if (!(port >= 0 && port <= 65_535)) return undefined
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined
  if (plain === undefined || !/^[\w.-]*$/.test(plain)) return undefined
  return { host: plain, port }
}

// IP addresses as sixteen bytes, as DERP carries them: IPv6 unchanged, IPv4 mapped (::ffff:a.b.c.d), unknown as zero. Text
// follows RFC 5952. No ports, zones or names.

import { isIPv4, isIPv6 } from 'node:net'
import { byteAt, isZero, readU16, startsWithAt, writeU16 } from './bytes.ts'

export const IP_BYTES = 16
const MAPPED_PREFIX = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

/** The sixteen bytes of an address in text; all zero for any other text. Ignores a zone. */
export function ipToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(IP_BYTES)
  if (isIPv4(text)) {
    bytes.set(MAPPED_PREFIX)
    bytes.set(text.split('.').map(Number), MAPPED_PREFIX.length)
    return bytes
  }
  const bare = text.split('%')[0] ?? ''
  if (!isIPv6(bare)) return bytes
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(bare)
  const words = dotted === null ? bare : (dotted[1] ?? '') + dottedAsWords(dotted[2] ?? '')
  const [head, tail] = words.split('::') as [string, string | undefined]
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  left.forEach((word, i) => writeU16(bytes, 2 * i, Number.parseInt(word, 16)))
  right.forEach((word, i) => writeU16(bytes, IP_BYTES - 2 * (right.length - i), Number.parseInt(word, 16)))
  return bytes
}

/** The text of sixteen bytes: mapped IPv4 in dotted form, zero as the empty string. */
export function ipToText(bytes: Uint8Array): string {
  if (isZero(bytes, 0, IP_BYTES)) return ''
  if (startsWithAt(bytes, 0, MAPPED_PREFIX)) return bytes.slice(12, IP_BYTES).join('.')
  const words = Array.from({ length: 8 }, (_, i) => readU16(bytes, 2 * i))
  const [from, to] = longestZeroRun(words)
  const hex = words.map((word) => word.toString(16))
  if (to - from < 2) return hex.join(':')
  return `${hex.slice(0, from).join(':')}::${hex.slice(to).join(':')}`
}

/** The IPv4 address in a mapped address `::ffff:a.b.c.d`; any other text unchanged. */
export function unmapped(text: string): string {
  return text.startsWith('::ffff:') && isIPv4(text.slice(7)) ? text.slice(7) : text
}

/** Whether these sixteen bytes are an IPv4 address in mapped form. */
export function isMappedIpv4(bytes: Uint8Array): boolean {
  return startsWithAt(bytes, 0, MAPPED_PREFIX)
}

/** The name that stands for an address in reverse DNS, and in TLS where only names are allowed (RFC 8738 §6). */
export function reverseName(ip: string): string {
  const bytes = ipToBytes(ip)
  if (isMappedIpv4(bytes)) return `${[...bytes.subarray(12)].reverse().join('.')}.in-addr.arpa`
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${digits.split('').reverse().join('.')}.ip6.arpa`
}

function dottedAsWords(dotted: string): string {
  const bytes = new Uint8Array(dotted.split('.').map(Number))
  return `${readU16(bytes, 0).toString(16)}:${((byteAt(bytes, 2) << 8) | byteAt(bytes, 3)).toString(16)}`
}

function longestZeroRun(words: number[]): [number, number] {
  let best: [number, number] = [0, 0]
  for (let from = 0; from < words.length; from++) {
    let to = from
    while (words[to] === 0) to++
    if (to - from > best[1] - best[0]) best = [from, to]
    if (to > from) from = to
  }
  return best
}

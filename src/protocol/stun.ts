// STUN binding requests and answers (RFC 8489), the subset that tells a client its public address: recognises requests,
// writes answers, and has the client's side for probes. Strict on purpose: only requests of Tailscale's clients are
// answered, so that the server can't be used as a reflector.

import { crc32 } from 'node:zlib'
import { byteAt, copyOf, readU16, readU32, startsWithAt, writeU16, writeU32 } from './bytes.ts'
import { isMappedIpv4 } from './ip-address.ts'

export const TRANSACTION_ID_BYTES = 12
const HEADER_BYTES = 20
const BINDING_REQUEST = 0x0001
const BINDING_SUCCESS = 0x0101
/** RFC 8489 §5. */
const MAGIC_COOKIE = 0x2112a442
const COOKIE_BYTES = new Uint8Array([0x21, 0x12, 0xa4, 0x42])
/** RFC 8489 §14.1, §14.2; 0x8020 is the old number of the same attribute. */
const MAPPED_ADDRESS = 0x0001
const XOR_MAPPED_ADDRESS = 0x0020
const XOR_MAPPED_ADDRESS_OLD = 0x8020
/** RFC 8489 §14.14, §14.7. */
const SOFTWARE = 0x8022
const FINGERPRINT = 0x8028
const FINGERPRINT_XOR = 0x5354554e
const SOFTWARE_NAME = Buffer.from('tailnode')
const FAMILY_IPV4 = 1
const FAMILY_IPV6 = 2

/** The longest answer: header and one IPv6 address. */
export const STUN_ANSWER_BYTES_MAX = 44

/** Whether a datagram can be a STUN message (RFC 8489 §6.3); the first and cheapest check. */
export function isStun(bytes: Uint8Array): boolean {
  return (
    bytes.length >= HEADER_BYTES && (byteAt(bytes, 0) & 0xc0) === 0 && startsWithAt(bytes, 4, COOKIE_BYTES)
  )
}

/**
 * Whether this is a binding request of a Tailscale client: SOFTWARE is "tailnode" and the last attribute is a correct
 * FINGERPRINT. Ignores the header's length field and other attributes.
 */
export function isBindingRequest(bytes: Uint8Array): boolean {
  if (!isStun(bytes) || readU16(bytes, 0) !== BINDING_REQUEST) return false
  let at = HEADER_BYTES
  let isTailnode = false
  while (at < bytes.length) {
    const valueAt = at + 4
    const next = attributeEnd(bytes, at)
    if (next === undefined) return false
    const type = readU16(bytes, at)
    const valueBytes = readU16(bytes, at + 2)
    if (type === SOFTWARE) {
      isTailnode ||= valueBytes === SOFTWARE_NAME.length && startsWithAt(bytes, valueAt, SOFTWARE_NAME)
    }
    if (type === FINGERPRINT && next === bytes.length) {
      return isTailnode && valueBytes === 4 && readU32(bytes, valueAt) === fingerprint(bytes.subarray(0, at))
    }
    at = next
  }
  return false
}

/**
 * Writes the answer to `request` into `out` (44 bytes) and returns its length: 32 bytes for IPv4, 44 for IPv6. `ip` is
 * sixteen bytes. A mapped IPv4 address gives an IPv4 answer.
 */
export function writeBindingAnswer(
  out: Uint8Array,
  request: Uint8Array,
  ip: Uint8Array,
  port: number,
): number {
  const isIpv4 = isMappedIpv4(ip)
  const addressBytes = isIpv4 ? 4 : 16
  writeU16(out, 0, BINDING_SUCCESS)
  writeU16(out, 2, 8 + addressBytes)
  out.set(request.subarray(4, HEADER_BYTES), 4)
  writeU16(out, 20, XOR_MAPPED_ADDRESS)
  writeU16(out, 22, 4 + addressBytes)
  out[24] = 0
  out[25] = isIpv4 ? FAMILY_IPV4 : FAMILY_IPV6
  writeU16(out, 26, port ^ (MAGIC_COOKIE >>> 16))
  // The mask is the cookie and the transaction id: the request's bytes from 4 on.
  for (let i = 0; i < addressBytes; i++) {
    out[28 + i] = byteAt(ip, 16 - addressBytes + i) ^ byteAt(request, 4 + i)
  }
  return 28 + addressBytes
}

/** A request as Tailscale's clients send it, 40 bytes; `transactionId` is 12 random bytes. */
export function bindingRequest(transactionId: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(40)
  writeU16(bytes, 0, BINDING_REQUEST)
  writeU16(bytes, 2, 20)
  writeU32(bytes, 4, MAGIC_COOKIE)
  bytes.set(transactionId, 8)
  writeU16(bytes, 20, SOFTWARE)
  writeU16(bytes, 22, SOFTWARE_NAME.length)
  bytes.set(SOFTWARE_NAME, 24)
  writeU16(bytes, 32, FINGERPRINT)
  writeU16(bytes, 34, 4)
  writeU32(bytes, 36, fingerprint(bytes.subarray(0, 32)))
  return bytes
}

export interface BindingAnswer {
  readonly transactionId: Uint8Array
  /** Sixteen bytes; IPv4 in mapped form. */
  readonly ip: Uint8Array
  readonly port: number
}

/** Reads an answer: XOR-MAPPED-ADDRESS by either number, else MAPPED-ADDRESS; undefined without one. */
export function readBindingAnswer(bytes: Uint8Array): BindingAnswer | undefined {
  if (!isStun(bytes) || readU16(bytes, 0) !== BINDING_SUCCESS) return undefined
  const end = Math.min(bytes.length, HEADER_BYTES + readU16(bytes, 2))
  let fallback: BindingAnswer | undefined
  for (let at = HEADER_BYTES; at < end;) {
    const next = attributeEnd(bytes, at)
    if (next === undefined) return fallback
    const type = readU16(bytes, at)
    if (type === XOR_MAPPED_ADDRESS || type === XOR_MAPPED_ADDRESS_OLD) return readAddress(bytes, at, true)
    if (type === MAPPED_ADDRESS) fallback = readAddress(bytes, at, false)
    at = next
  }
  return fallback
}

/** RFC 8489 §14.7: the masked CRC-32 of everything before the attribute. */
function fingerprint(before: Uint8Array): number {
  return (crc32(before) ^ FINGERPRINT_XOR) >>> 0
}

/** The end of the attribute at `at`, with padding to four bytes; undefined if it is truncated. */
function attributeEnd(bytes: Uint8Array, at: number): number | undefined {
  if (bytes.length - at < 4) return undefined
  const end = at + 4 + ((readU16(bytes, at + 2) + 3) & ~3)
  return end > bytes.length ? undefined : end
}

function readAddress(bytes: Uint8Array, at: number, isXored: boolean): BindingAnswer | undefined {
  const family = byteAt(bytes, at + 5)
  if (family !== FAMILY_IPV4 && family !== FAMILY_IPV6) return undefined
  const addressBytes = family === FAMILY_IPV4 ? 4 : 16
  if (readU16(bytes, at + 2) < 4 + addressBytes) return undefined
  const ip = new Uint8Array(16)
  if (family === FAMILY_IPV4) ip.set([0xff, 0xff], 10)
  for (let i = 0; i < addressBytes; i++) {
    ip[16 - addressBytes + i] = byteAt(bytes, at + 8 + i) ^ (isXored ? byteAt(bytes, 4 + i) : 0)
  }
  const port = readU16(bytes, at + 6) ^ (isXored ? MAGIC_COOKIE >>> 16 : 0)
  return { transactionId: copyOf(bytes, 8, HEADER_BYTES), ip, port }
}

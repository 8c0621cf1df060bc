// Self-signed TLS certificates: P-256, for names and IP addresses, for relays without an authority. Clients pin them by the
// SHA-256 of their DER (`sha256-raw:` in a DERP map). Pure: makes DER of a key, a serial number and dates. Not the meta
// certificate, which is never trusted for anything.

import { createHash, createPublicKey, sign, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import {
  bitString,
  booleanTrue,
  der,
  explicit,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  set,
  utcTime,
  utf8String,
} from './der.ts'
import { toHex } from './bytes.ts'
import { ipToBytes, isMappedIpv4 } from './ip-address.ts'

export interface SelfSignedParts {
  /** DNS names and IP addresses, at least one; the first is the subject's common name. */
  readonly names: readonly string[]
  /** A P-256 private key. */
  readonly key: KeyObject
  /** 16 random bytes; made positive and non-zero (RFC 5280 §4.1.2.2). */
  readonly serial: Uint8Array
  readonly fromMs: number
  readonly untilMs: number
}

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))
const COMMON_NAME = oid('2.5.4.3')
/** A limit of X.520 that clients enforce; longer names are only in the alternative names. */
const COMMON_NAME_CHARS_MAX = 64
const KEY_USAGE = oid('2.5.29.15')
const SUBJECT_ALTERNATIVE_NAME = oid('2.5.29.17')
const BASIC_CONSTRAINTS = oid('2.5.29.19')
const EXTENDED_KEY_USAGE = oid('2.5.29.37')
const SERVER_AUTH = oid('1.3.6.1.5.5.7.3.1')
/** Only digitalSignature: bit 0, seven bits unused. */
const DIGITAL_SIGNATURE = der(0x03, Uint8Array.of(7, 0x80))

/** The certificate in DER (RFC 5280 §4.1). */
export function selfSignedCertificate(parts: SelfSignedParts): Uint8Array {
  const [first = ''] = parts.names
  const name =
    first.length <= COMMON_NAME_CHARS_MAX
      ? sequence(set(sequence(COMMON_NAME, utf8String(first))))
      : sequence()
  const signed = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(positive(parts.serial)),
    ECDSA_WITH_SHA256,
    name,
    sequence(utcTime(parts.fromMs), utcTime(parts.untilMs)),
    name,
    createPublicKey(parts.key).export({ format: 'der', type: 'spki' }),
    explicit(
      3,
      sequence(
        sequence(BASIC_CONSTRAINTS, booleanTrue(), octetString(sequence())),
        sequence(KEY_USAGE, booleanTrue(), octetString(DIGITAL_SIGNATURE)),
        sequence(EXTENDED_KEY_USAGE, octetString(sequence(SERVER_AUTH))),
        sequence(SUBJECT_ALTERNATIVE_NAME, octetString(sequence(...parts.names.map(generalName)))),
      ),
    ),
  )
  return sequence(signed, ECDSA_WITH_SHA256, bitString(sign('sha256', signed, parts.key)))
}

/** PEM text around a certificate's DER. */
export function certificatePem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

/** The `CertName` in a DERP map that pins a certificate: `sha256-raw:` and 64 hex digits. */
export function certificatePin(certificate: Uint8Array): string {
  return `sha256-raw:${toHex(createHash('sha256').update(certificate).digest())}`
}

/** dNSName or iPAddress of GeneralName (RFC 5280 §4.2.1.6). */
function generalName(name: string): Uint8Array {
  if (isIP(name) === 0) return implicit(2, Buffer.from(name, 'latin1'))
  const bytes = ipToBytes(name)
  return implicit(7, isMappedIpv4(bytes) ? bytes.subarray(12) : bytes)
}

/** The same bytes with a first byte of 0x40–0x7f: positive, and without a leading zero. */
function positive(serial: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(serial)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}

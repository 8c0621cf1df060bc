// The meta certificate: a self-signed certificate that a relay appends to its TLS chain. It tells clients the relay's DERP
// key during the handshake, so that they log in one round trip earlier (fast start). It is never trusted for anything, and
// its private key is not kept. Also reads one, for clients.

import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto'
import {
  bitString,
  booleanTrue,
  explicit,
  integer,
  octetString,
  oid,
  printableString,
  sequence,
  set,
  utcTime,
} from './der.ts'
import { PROTOCOL_VERSION } from './limits.ts'
import { parseUntypedKey } from './node-key.ts'
import { toHex } from './bytes.ts'

const NAME_PREFIX = 'derpkey'
const DAY_MS = 86_400_000
/** Clients ignore the dates, but some platforms' TLS stacks require valid ones. */
export const META_VALID_MS = 30 * DAY_MS

const ED25519 = sequence(oid('1.3.101.112'))
const COMMON_NAME = oid('2.5.4.3')
const BASIC_CONSTRAINTS = oid('2.5.29.19')
/** DER before an Ed25519 seed (RFC 8410 §7). */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The certificate in DER for a relay's public key; `seed` is 32 random bytes for its signing key. */
export function metaCertificate(publicKey: Uint8Array, seed: Uint8Array, nowMs: number): Uint8Array {
  return metaCertificateBetween(publicKey, seed, {
    fromMs: nowMs - META_VALID_MS,
    untilMs: nowMs + META_VALID_MS,
  })
}

/** The same with given dates. */
export function metaCertificateBetween(
  publicKey: Uint8Array,
  seed: Uint8Array,
  validity: { fromMs: number; untilMs: number },
): Uint8Array {
  const signingKey = ed25519Key(seed)
  // 71 characters, more than the 64 that certificate libraries allow; TLS stacks accept it.
  const name = sequence(set(sequence(COMMON_NAME, printableString(NAME_PREFIX + toHex(publicKey)))))
  const signed = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(Uint8Array.of(PROTOCOL_VERSION)),
    ED25519,
    name,
    sequence(utcTime(validity.fromMs), utcTime(validity.untilMs)),
    name,
    createPublicKey(signingKey).export({ format: 'der', type: 'spki' }),
    explicit(3, sequence(sequence(BASIC_CONSTRAINTS, booleanTrue(), octetString(sequence())))),
  )
  return sequence(signed, ED25519, bitString(sign(null, signed, signingKey)))
}

/** The content of a meta certificate. */
export interface MetaKey {
  readonly publicKey: Uint8Array
  /** The serial number, 1–255. */
  readonly version: number
}

/**
 * Reads the relay's key from a certificate's common name and serial number (hex); undefined if it is no meta certificate,
 * or an invalid one (version 0 or over 255, malformed key).
 */
export function readMetaKey(commonName: string, serialHex: string): MetaKey | undefined {
  if (!commonName.startsWith(NAME_PREFIX)) return undefined
  const publicKey = parseUntypedKey(commonName.slice(NAME_PREFIX.length))
  const version = Number.parseInt(serialHex, 16)
  if (publicKey === undefined || !(version >= 1 && version <= 255)) return undefined
  return { publicKey, version }
}

function ed25519Key(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ED25519_PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
}

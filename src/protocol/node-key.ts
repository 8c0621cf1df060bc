// Node keys: the Curve25519 keys that identify peers and relays, in all their text forms, and the mesh key, which has the
// same size. Keys are compared and routed as raw bytes; only text is checked here.

import { fromHex, isZero, toHex } from './bytes.ts'
import { KEY_BYTES } from './limits.ts'
import { X25519Secret } from './x25519.ts'

const PUBLIC_PREFIX = 'nodekey:'
const PRIVATE_PREFIX = 'privkey:'

/** A private key and the public key derived from it; 32 bytes each. */
export interface KeyPair {
  readonly privateKey: Uint8Array
  readonly publicKey: Uint8Array
}

/** The pair of a 32-byte private key, which is clamped first (byte 0 & F8, byte 31 & 7F | 40). */
export function keyPairFrom(privateKey: Uint8Array): KeyPair {
  const clamped = Uint8Array.from(privateKey)
  clamped[0] = (clamped[0] ?? 0) & 0xf8
  clamped[31] = ((clamped[31] ?? 0) & 0x7f) | 0x40
  return { privateKey: clamped, publicKey: new X25519Secret(clamped).publicKey }
}

/** `nodekey:` and 64 lower-case hex digits. */
export function publicKeyText(key: Uint8Array): string {
  return PUBLIC_PREFIX + toHex(key)
}

/** `privkey:` and 64 lower-case hex digits. */
export function privateKeyText(key: Uint8Array): string {
  return PRIVATE_PREFIX + toHex(key)
}

/** The 32 bytes of `nodekey:<64 hex>`; undefined for anything else. */
export function parsePublicKey(text: string): Uint8Array | undefined {
  return parseKey(text, PUBLIC_PREFIX)
}

/** The 32 bytes of `privkey:<64 hex>`; undefined for anything else. */
export function parsePrivateKey(text: string): Uint8Array | undefined {
  return parseKey(text, PRIVATE_PREFIX)
}

/** The 32 bytes of 64 hex digits without a prefix: mesh keys, `Derp-Public-Key`; undefined otherwise. */
export function parseUntypedKey(text: string): Uint8Array | undefined {
  return parseKey(text, '')
}

/** A key as logs show it: `[` first five characters of its base64 `]`; empty for the all-zero key. */
export function shortKey(key: Uint8Array): string {
  if (isZero(key)) return ''
  return `[${Buffer.from(key).toString('base64').slice(0, 5)}]`
}

/** A key as the name of an entry in a map: 32 characters, a byte in each. Of a longer array, the first 32 bytes. */
export function keyName(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, KEY_BYTES).toString('latin1')
}

/** The key of a `keyName`. */
export function keyNamed(name: string): Uint8Array {
  return new Uint8Array(Buffer.from(name, 'latin1'))
}

function parseKey(text: string, prefix: string): Uint8Array | undefined {
  if (!text.startsWith(prefix) || text.length !== prefix.length + 2 * KEY_BYTES) return undefined
  return fromHex(text.slice(prefix.length))
}

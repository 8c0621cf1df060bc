// New node keys for clients, from the runtime's generator: twenty times faster than deriving the public key in portable
// code, which matters to a load generator that makes ten thousand. Text forms are in node-key.ts.

import { generateKeyPairSync } from 'node:crypto'
import type { KeyPair } from '#protocol/node-key.ts'

/** A new pair with a clamped private key. */
export function newKeyPair(): KeyPair {
  const { d = '', x = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
  const privateKey = new Uint8Array(Buffer.from(d, 'base64url'))
  // X25519 clamps its input anyway. Clamping here makes the stored key the one that is used.
  privateKey[0] = (privateKey[0] ?? 0) & 0xf8
  privateKey[31] = ((privateKey[31] ?? 0) & 0x7f) | 0x40
  return { privateKey, publicKey: new Uint8Array(Buffer.from(x, 'base64url')) }
}

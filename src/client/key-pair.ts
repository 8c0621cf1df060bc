// New node keys for clients, from the runtime's own generator: twenty times faster than deriving the public key
// in portable code, which counts when a load generator makes ten thousand. Text forms are in node-key.ts.

import { generateKeyPairSync } from 'node:crypto'
import type { KeyPair } from '#protocol/node-key.ts'

/** A fresh pair, the private key clamped. */
export function newKeyPair(): KeyPair {
  const { d = '', x = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
  const privateKey = new Uint8Array(Buffer.from(d, 'base64url'))
  // X25519 clamps whatever it is given; doing it here makes the stored key the one that is used.
  privateKey[0] = (privateKey[0] ?? 0) & 0xf8
  privateKey[31] = ((privateKey[31] ?? 0) & 0x7f) | 0x40
  return { privateKey, publicKey: new Uint8Array(Buffer.from(x, 'base64url')) }
}

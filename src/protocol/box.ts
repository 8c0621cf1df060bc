// NaCl's box (X25519, HSalsa20, XSalsa20-Poly1305), in which ClientInfo and ServerInfo travel. One key agreement per pair
// serves both directions. HSalsa20 and the cipher are noble's. Not for packets, which the relay never opens.

import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa.js'
import { BOX_TAG_BYTES, KEY_BYTES, NONCE_BYTES } from './limits.ts'
import { X25519Secret } from './x25519.ts'

/** "expand 32-byte k", Salsa20's constant for 32-byte keys. */
const SIGMA = new Uint32Array(new Uint8Array(Buffer.from('expand 32-byte k')).buffer)
const ZERO_INPUT = new Uint32Array(4)

/** One side's private key, imported once for all logins. */
export class BoxSecret {
  readonly #secret: X25519Secret

  /** @param privateKey 32 bytes */
  constructor(privateKey: Uint8Array) {
    this.#secret = new X25519Secret(privateKey)
  }

  /**
   * The box key shared with the holder of `publicKey` (32 bytes); undefined if the key is zero or of low order, since the
   * result would be no secret.
   */
  agree(publicKey: Uint8Array): BoxKey | undefined {
    const shared = this.#secret.agree(publicKey)
    return shared && new BoxKey(boxKeyFrom(shared))
  }
}

/** HSalsa20 of the X25519 secret with sixteen zero bytes: NaCl's crypto_box_beforenm. */
export function boxKeyFrom(sharedSecret: Uint8Array): Uint8Array {
  const words = new Uint32Array(Uint8Array.from(sharedSecret).buffer)
  const out = new Uint32Array(KEY_BYTES / 4)
  hsalsa(SIGMA, words, ZERO_INPUT, out)
  return new Uint8Array(out.buffer)
}

/** The key of one pair; seals and opens in both directions. */
export class BoxKey {
  readonly #key: Uint8Array

  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** Writes the key, 32 bytes, to be kept. */
  copyTo(target: Uint8Array, at: number): void {
    target.set(this.#key, at)
  }

  /** `nonce` (24 bytes), tag (16) and ciphertext: 40 bytes longer than `plain`. */
  seal(nonce: Uint8Array, plain: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(NONCE_BYTES + BOX_TAG_BYTES + plain.length)
    sealed.set(nonce)
    sealed.set(xsalsa20poly1305(this.#key, nonce).encrypt(plain), NONCE_BYTES)
    return sealed
  }

  /** The plain text of a sealed box; undefined if a single bit differs or it is too short. */
  open(sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.length < NONCE_BYTES + BOX_TAG_BYTES) return undefined
    try {
      const cipher = xsalsa20poly1305(this.#key, sealed.subarray(0, NONCE_BYTES))
      return cipher.decrypt(sealed.subarray(NONCE_BYTES))
    } catch {
      return undefined
    }
  }
}

// The meta certificate that the relay presents at the moment: made anew long before it expires, whatever the operator's
// certificate does. Clients read the relay's key from it and ignore its dates; some TLS stacks require valid ones. Its
// signing key is discarded. Runs on the control thread.

import { randomBytes } from 'node:crypto'
import { META_VALID_MS, metaCertificate } from '#protocol/meta-certificate.ts'
import { certificatePem } from '#protocol/self-signed.ts'

/** Every twenty days, so that a client's clock may be wrong by ten. The same if this host's clock is set back. */
const RENEWED_AFTER_MS = (META_VALID_MS * 2) / 3

export class MetaLife {
  readonly #publicKey: Uint8Array
  #pem = ''
  #madeMs = -Infinity

  /** @param publicKey the relay's */
  constructor(publicKey: Uint8Array) {
    this.#publicKey = publicKey
  }

  /** PEM; the same text until it is renewed. @param nowMs Unix time in milliseconds */
  pem(nowMs: number): string {
    if (Math.abs(nowMs - this.#madeMs) < RENEWED_AFTER_MS) return this.#pem
    this.#madeMs = nowMs
    this.#pem = certificatePem(metaCertificate(this.#publicKey, new Uint8Array(randomBytes(32)), nowMs))
    return this.#pem
  }
}

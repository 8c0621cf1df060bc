// What connections of one process can share: the buffer they read into, the pool that holds parts of frames,
// and TLS contexts, whose making costs more than a handshake. Sharing is safe because a read is handled to its
// end before the next begins. A load generator with thousands of connections passes one to all of them.

import { createSecureContext, type SecureContext } from 'node:tls'
import { BufferPool } from '#protocol/buffer-pool.ts'
import type { ServerTrust } from './tls-verification.ts'

/** As much as Node reads from a socket at once. */
const READ_BUFFER_BYTES = 65_536

export class SharedResources {
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly pool = new BufferPool()
  readonly #contexts = new WeakMap<ServerTrust, SecureContext>()

  /** The TLS context for these settings; the same object of settings gives the same context. */
  secureContextFor(tls: ServerTrust): SecureContext {
    const known = this.#contexts.get(tls)
    if (known !== undefined) return known
    const ca =
      tls.ca === undefined || typeof tls.ca === 'string' || Buffer.isBuffer(tls.ca) ? tls.ca : [...tls.ca]
    const made = createSecureContext({ minVersion: 'TLSv1.2', maxVersion: tls.maxVersion ?? 'TLSv1.3', ca })
    this.#contexts.set(tls, made)
    return made
  }
}

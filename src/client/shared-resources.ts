// Resources that connections of one process can share: the read buffer, the pool for partial frames, and TLS contexts,
// which cost more to make than a handshake. Sharing is safe because each read is handled completely before the next. A load
// generator passes one object to thousands of connections.

import { createSecureContext, type SecureContext } from 'node:tls'
import { BufferPool } from '#protocol/buffer-pool.ts'
import type { ServerTrust } from './tls-verification.ts'

/** Node reads no more from a socket at once. */
const READ_BUFFER_BYTES = 65_536

export class SharedResources {
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly pool = new BufferPool()
  readonly #contexts = new WeakMap<ServerTrust, SecureContext>()

  /** The TLS context for these settings; the same settings object gives the same context. */
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

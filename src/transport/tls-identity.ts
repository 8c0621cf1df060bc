// The TLS settings of a port: a certificate chain with the relay's meta certificate after it, cipher suites and versions.
// Reads no files.

import type { TlsOptions } from 'node:tls'
import { constants } from 'node:crypto'
import type { CertificatePem } from '#protocol/certificate-pem.ts'

/** AES-128 first: the cheapest on processors with AES instructions, and the choice of other relays. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
].join(':')

export type TlsMaxVersion = 'TLSv1.2' | 'TLSv1.3'

export interface TlsIdentityParts {
  readonly pem: CertificatePem
  /** The meta certificate, PEM, in which clients read the relay's key; undefined: none. */
  readonly meta: string | undefined
  readonly maxVersion: TlsMaxVersion
  /** The application protocols that are accepted (ALPN). */
  readonly protocols: readonly string[]
}

/** All options of a TLS server. */
export function tlsIdentity({ pem, meta, maxVersion, protocols }: TlsIdentityParts): TlsOptions {
  const { certificate, key } = pem
  return {
    // The meta certificate comes after the complete chain: clients look for it behind the leaf.
    cert: meta === undefined ? certificate : `${certificate.trimEnd()}\n${meta}`,
    key,
    ciphers: CIPHERS,
    minVersion: 'TLSv1.2',
    maxVersion,
    // DERP clients never resume a TLS session, so tickets would be wasted work (this is for TLS 1.2; bin/openssl.cnf does the
    // same for 1.3), and they never renegotiate. The order of ciphers is ours, except for clients that put ChaCha first because
    // their processor has no AES instructions.
    secureOptions:
      constants.SSL_OP_NO_TICKET |
      constants.SSL_OP_NO_RENEGOTIATION |
      constants.SSL_OP_CIPHER_SERVER_PREFERENCE |
      constants.SSL_OP_PRIORITIZE_CHACHA,
    ALPNProtocols: [...protocols],
  }
}

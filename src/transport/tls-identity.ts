// What the HTTP server shows in TLS: the operator's certificate chain with the relay's meta certificate after
// it, and the settings that go with them. Reads no files.

import type { TlsOptions } from 'node:tls'
import { constants } from 'node:crypto'
import { metaCertificate } from '#protocol/meta-certificate.ts'
import { certificatePem } from '#protocol/self-signed.ts'

/** AES-128 first: the cheapest where the processor helps, and what the other relays choose. */
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

/** A chain (leaf first) and its private key, PEM. */
export interface CertificatePem {
  readonly certificate: string
  readonly key: string
}

export interface TlsIdentityParts {
  readonly pem: CertificatePem
  /** The relay's public key, told to clients by the meta certificate. */
  readonly publicKey: Uint8Array
  /** 32 random bytes for the meta certificate's own key, which is then forgotten. */
  readonly seed: Uint8Array
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly nowMs: number
}

/** Everything that a TLS server needs. */
export function tlsIdentity(parts: TlsIdentityParts): TlsOptions {
  const { certificate, key } = parts.pem
  const meta = certificatePem(metaCertificate(parts.publicKey, parts.seed, parts.nowMs))
  return {
    // The meta certificate comes after the complete chain: clients look for it among the rest.
    cert: `${certificate.trimEnd()}\n${meta}`,
    key,
    ciphers: CIPHERS,
    minVersion: 'TLSv1.2',
    maxVersion: parts.maxVersion,
    // Clients of relays never resume, so tickets are work for nothing (TLS 1.2; bin/openssl.cnf says it for 1.3); nor do
    // they negotiate again. The order of ciphers is ours, except for clients that put ChaCha first because their processor
    // has no AES.
    secureOptions:
      constants.SSL_OP_NO_TICKET |
      constants.SSL_OP_NO_RENEGOTIATION |
      constants.SSL_OP_CIPHER_SERVER_PREFERENCE |
      constants.SSL_OP_PRIORITIZE_CHACHA,
    ALPNProtocols: ['http/1.1'],
  }
}

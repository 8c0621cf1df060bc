// A TLS certificate with its private key, as PEM text. A type only: config/ reads it, transport/ serves it, and protocol/
// is the only folder that both may import.

export interface CertificatePem {
  /** The chain, the relay's own certificate first. */
  readonly certificate: string
  /** Without a passphrase. */
  readonly key: string
}

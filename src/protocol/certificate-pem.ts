// A TLS certificate with its private key, as PEM text, and the names that it is served for. Types only: config/ and
// certificates/ provide them, transport/ serves them, and protocol/ is the only folder that all may import.

export interface CertificatePem {
  /** The chain, the relay's own certificate first. */
  readonly certificate: string
  /** Without a passphrase. */
  readonly key: string
}

export interface NamedCertificate {
  /** DNS names and IP addresses; handshakes for them get this certificate. */
  readonly names: readonly string[]
  readonly pem: CertificatePem
}

/** All that a relay presents in TLS handshakes at one time. */
export interface CertificateSet {
  /** The first one is presented when none matches. Empty: handshakes are refused. */
  readonly certificates: readonly NamedCertificate[]
  /** The meta certificate, PEM; follows every chain. */
  readonly meta: string
  /** Presented only to an authority's TLS-ALPN-01 validation of one of their names. */
  readonly challenges: readonly NamedCertificate[]
}

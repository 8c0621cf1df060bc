// The contract between where certificates come from (a source, in this folder) and their one owner (control/certificates.ts).
// A source finds, makes or orders certificates and reports each result to its host. It knows no threads, no log and no
// metrics. Types only. Everything runs on the control thread.
//
// Contract: a source that fails reports it and goes on with what it has; it never ends the relay, and never takes back a
// certificate that it has reported. The host keeps using the last set that it was given.

import type { CertificatePem, NamedCertificate } from '#protocol/certificate-pem.ts'

/** Where a certificate comes from; the value of a metric label. */
export type CertificateOrigin = 'manual' | 'self_signed' | 'acme'

export interface SourcedCertificate extends NamedCertificate {
  readonly origin: CertificateOrigin
  /** For people: the path of the file, or the authority's directory. */
  readonly from: string
}

/** Why a source has no new certificate; a closed list, because it is the value of a metric label. */
export const CERTIFICATE_FAILURES = [
  'unreadable', // missing, not PEM, half a file
  'mismatch', // certificate and key do not belong together
  'expired',
  'not_yet_valid',
  'other_name',
  'refused_by_tls', // the TLS library does not accept it
  'store', // the folder cannot be read or written
  'acme_unreachable', // no answer, too slow, or not an ACME server
  'acme_refused', // an error from the ACME server
  'acme_rate_limited',
  'acme_challenge', // the authority could not validate the name
  'acme_certificate', // the authority issued a certificate that cannot serve
  'other',
] as const
export type CertificateFailureReason = (typeof CERTIFICATE_FAILURES)[number]

export interface CertificateFailure {
  readonly reason: CertificateFailureReason
  /** One sentence for the operator: what failed, and what was expected. A text that repeats is logged once. */
  readonly text: string
  /** When the source tries again, in milliseconds from now; undefined: when its files change. */
  readonly retryInMs?: number | undefined
}

/** The owner, as a source sees it. */
export interface CertificateHost {
  /**
   * The whole set that the source can serve now, the certificate for the relay's host name first. Each has been checked
   * by the source (`config/certificate-check.ts`). Replaces the set before. The same set again means that a look or a
   * renewal found nothing to change, and ends a failure.
   */
  use(certificates: readonly SourcedCertificate[]): void
  /** An attempt has failed; what is in use stays. */
  failed(failure: CertificateFailure): void
}

export interface CertificateSource {
  /** Reports what is at hand, without network traffic. Resolves soon: the relay listens only after that. */
  start(): Promise<void> | void
  /** The relay's ports listen, so challenges can be answered. Called once, after `start`. */
  listening?(): void
  /** Looks again now, on an operator's request; resolves when the result was reported. */
  reload(): Promise<void>
  stop(): Promise<void> | void
}

/** How a source proves to an authority that the relay controls a name. */
export interface ChallengePort {
  readonly tlsAlpn: {
    /**
     * Presents `pem` to validations of `name` (RFC 8737). For an IP address, `name` is its reverse name
     * (`1.2.0.192.in-addr.arpa`), which the authority sends as server name (RFC 8738 §6). Resolves when every relay
     * thread does so.
     */
    set(name: string, pem: CertificatePem): Promise<void>
    clear(name: string): void
  }
  readonly http:
    | {
        /**
         * Answers `/.well-known/acme-challenge/TOKEN` on the HTTP port, also on relays that share the folder. Undefined if
         * the relay has no such port.
         */
        set(token: string, text: string): Promise<void>
        clear(token: string): Promise<void>
      }
    | undefined
}

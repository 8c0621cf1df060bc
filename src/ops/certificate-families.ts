// The metrics of the relay's certificates: lives, where they come from, and how their renewal goes. control/certificates.ts
// has the numbers; certificate-health.ts judges them.

import { sample, type MetricFamily } from './metric-family.ts'
import type { ReloadOutcome } from './reloads.ts'

/** A certificate in use. */
export interface CertificateLife {
  /** The relay's host name; for further certificates, the first name of each. */
  readonly hostname: string
  /** Where it comes from: `manual`, `self_signed` or `acme`. */
  readonly origin: string
  /** Unix time in milliseconds. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export interface CertificateStatus {
  /** The one for the relay's host name first. Empty: there is none yet. */
  readonly certificates: readonly CertificateLife[]
  /** When these certificates were taken into use, Unix time in milliseconds; undefined if there is none yet. */
  readonly usedSinceMs: number | undefined
  /** By reason, for every reason. */
  readonly failures: ReadonlyMap<string, number>
  /** Why the last attempt to renew failed; undefined if it did not. */
  readonly lastFailure: string | undefined
}

/** The outcome of the last look at the certificate files, by the option that names their folder. */
export function certificateReload(
  status: CertificateStatus | undefined,
): readonly (readonly [string, ReloadOutcome])[] {
  const [first] = status?.certificates ?? []
  if (status?.usedSinceMs === undefined || first === undefined || first.origin === 'acme') return []
  return [['certdir', { isSuccessful: status.lastFailure === undefined, acceptedMs: status.usedSinceMs }]]
}

/** @param status undefined on plain TCP */
export function certificateFamilies(status: CertificateStatus | undefined): MetricFamily[] {
  if (status === undefined) return []
  const { certificates, failures, lastFailure, usedSinceMs } = status
  const each = (read: (life: CertificateLife) => number): MetricFamily['samples'] =>
    certificates.map((life) => sample(read(life) / 1_000, { hostname: life.hostname }))
  return [
    {
      name: 'tls_certificate_not_before_timestamp_seconds',
      type: 'gauge',
      help: 'Unix time at which the certificate becomes valid.',
      samples: each(({ notBeforeMs }) => notBeforeMs),
    },
    {
      name: 'tls_certificate_not_after_timestamp_seconds',
      type: 'gauge',
      help: 'Unix time at which the certificate expires.',
      samples: each(({ notAfterMs }) => notAfterMs),
    },
    {
      name: 'derp_certificate_info',
      type: 'gauge',
      help: 'Always 1. The labels name each certificate in use and where it comes from.',
      samples: certificates.map(({ hostname, origin }) => sample(1, { hostname, source: origin })),
    },
    {
      name: 'derp_certificate_last_renewal_success_timestamp_seconds',
      type: 'gauge',
      help: 'Unix time at which the certificates in use were taken into use.',
      samples: usedSinceMs === undefined ? [] : [sample(usedSinceMs / 1_000)],
    },
    {
      name: 'derp_certificate_last_renewal_successful',
      type: 'gauge',
      help: '0 if the last attempt to renew a certificate failed, else 1. The certificates in use stay in use.',
      samples: [sample(Number(lastFailure === undefined))],
    },
    {
      name: 'derp_certificate_failures_total',
      type: 'counter',
      help: 'Failed attempts to get or to renew a certificate, by reason.',
      samples: [...failures].map(([reason, count]) => sample(count, { reason })),
    },
  ]
}

// The metrics of certificates: with one, with several, without one yet, and after a failure.

import { expect, it } from 'vitest'
import { certificateFamilies, certificateReload, type CertificateStatus } from '#ops/certificate-families.ts'
import { certificate, certificates } from './sources.ts'

/** Each series with its value. */
function series(status: CertificateStatus | undefined): Record<string, number> {
  const all = certificateFamilies(status).flatMap(({ name, samples }) =>
    samples.map(({ labels, value }): [string, number] => {
      const text = Object.entries(labels).map(([label, of]) => `${label}=${of}`)
      return [[name, ...text].join(' '), value]
    }),
  )
  return Object.fromEntries(all)
}

it('has the life and the source of each certificate', () => {
  const address = { ...certificate, hostname: '192.0.2.7', origin: 'manual' }
  expect(series(certificates([certificate, address]))).toEqual({
    'tls_certificate_not_before_timestamp_seconds hostname=relay.example': certificate.notBeforeMs / 1_000,
    'tls_certificate_not_before_timestamp_seconds hostname=192.0.2.7': certificate.notBeforeMs / 1_000,
    'tls_certificate_not_after_timestamp_seconds hostname=relay.example': certificate.notAfterMs / 1_000,
    'tls_certificate_not_after_timestamp_seconds hostname=192.0.2.7': certificate.notAfterMs / 1_000,
    'derp_certificate_info hostname=relay.example source=acme': 1,
    'derp_certificate_info hostname=192.0.2.7 source=manual': 1,
    derp_certificate_last_renewal_success_timestamp_seconds: certificate.notBeforeMs / 1_000,
    derp_certificate_last_renewal_successful: 1,
    'derp_certificate_failures_total reason=expired': 0,
    'derp_certificate_failures_total reason=acme_refused': 2,
  })
})

it('has failures before there is a certificate, and nothing on plain TCP', () => {
  expect(series(certificates([], 'no answer'))).toEqual({
    derp_certificate_last_renewal_successful: 0,
    'derp_certificate_failures_total reason=expired': 0,
    'derp_certificate_failures_total reason=acme_refused': 2,
  })
  expect(series(undefined)).toEqual({})
})

it('certificate files are among the files that are read again, and an authority is not', () => {
  const manual = { ...certificate, origin: 'manual' }
  const acceptedMs = certificate.notBeforeMs
  expect(certificateReload(certificates([manual]))).toEqual([['certdir', { isSuccessful: true, acceptedMs }]])
  expect(certificateReload(certificates([manual], 'expired'))).toEqual([
    ['certdir', { isSuccessful: false, acceptedMs }],
  ])
  expect(certificateReload(certificates([certificate]))).toEqual([])
  expect(certificateReload(undefined)).toEqual([])
})

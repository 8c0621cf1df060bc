// Checks a certificate that an authority has issued, or that another relay has stored, before it is used: key, names, dates and
// the order of its chain. The authority may err, and the old certificate is better than a wrong one. Pure.

import { X509Certificate } from 'node:crypto'
import { checkCertificate, type CertificateFault } from '#config/certificate-check.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import type { CertificateFailureReason } from './certificate-source.ts'
import type { Life } from './renewal-schedule.ts'

/** Chains have two to four certificates. */
const CHAIN_MAX = 10

const REASONS: Readonly<Record<CertificateFault['kind'], CertificateFailureReason>> = {
  unreadable: 'unreadable',
  mismatch: 'mismatch',
  expired: 'expired',
  'not yet valid': 'not_yet_valid',
  'other name': 'other_name',
  'refused by clients': 'refused_by_tls',
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** The certificate's life, or why it can't be used. */
export function checkIssued(
  pem: CertificatePem,
  name: string,
  nowMs: number,
): { readonly life: Life } | { readonly reason: CertificateFailureReason; readonly fault: string } {
  const checked = checkCertificate(pem, name, nowMs)
  const [first] = checked.faults
  if (first !== undefined || !('certificate' in checked)) {
    const found = checked.faults.map((fault) => `the ${fault.file} ${fault.found}`).join(', ')
    return { reason: REASONS[first?.kind ?? 'unreadable'], fault: `${found}; expected ${first?.expected}` }
  }
  const disorder = chainFault(pem.certificate)
  if (disorder !== undefined) return { reason: 'unreadable', fault: disorder }
  const { validFromDate, validToDate } = checked.certificate
  return { life: { fromMs: validFromDate.getTime(), untilMs: validToDate.getTime() } }
}

/** Each certificate must be signed by the next one. */
function chainFault(pem: string): string | undefined {
  const texts = pem.match(CERTIFICATE) ?? []
  if (texts.length > CHAIN_MAX)
    return `the chain has ${texts.length} certificates; expected ${CHAIN_MAX} at most`
  const chain = texts.map((text) => new X509Certificate(text))
  const at = chain.findIndex((one, index) => {
    const next = chain[index + 1]
    return next !== undefined && !(one.checkIssued(next) && one.verify(next.publicKey))
  })
  return at < 0
    ? undefined
    : `certificate ${at + 1} of the chain is not signed by certificate ${at + 2}; expected each to be signed by the next`
}

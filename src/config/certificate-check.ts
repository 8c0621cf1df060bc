// Whether a TLS certificate and key, as PEM, can serve a hostname now. Judges texts; which files they are and what
// to do about a complaint is the caller's business.

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { certificatePin } from '#protocol/self-signed.ts'

/** Why a pair cannot serve; `file` tells which of the two to look at. */
export interface CertificateFault {
  readonly file: 'certificate' | 'key'
  readonly kind: 'unreadable' | 'mismatch' | 'expired' | 'not yet valid' | 'other name'
  readonly found: string
  readonly expected: string
}

export interface CheckedCertificate {
  readonly certificate: X509Certificate
  readonly faults: readonly CertificateFault[]
}

/** A lifetime's last tenth is when a renewal that should have happened is missed. */
const LAST_PART_OF_LIFE = 0.1

/** The leaf certificate and all that is wrong with it; faults alone when it cannot be read. */
export function checkCertificate(
  pem: CertificatePem,
  hostname: string,
  nowMs: number,
): CheckedCertificate | { readonly faults: readonly CertificateFault[] } {
  const certificate = parseCertificate(pem.certificate)
  const key = parseKey(pem.key)
  const unreadable = [certificate, key].filter((part): part is CertificateFault => 'kind' in part)
  if (!(certificate instanceof X509Certificate)) return { faults: unreadable }
  const faults: CertificateFault[] = [...unreadable, ...chainFaults(pem.certificate)]
  if (!('kind' in key) && !certificate.checkPrivateKey(key)) {
    faults.push({
      file: 'key',
      kind: 'mismatch',
      found: 'does not match the certificate',
      expected: 'the private key of the first certificate in the file',
    })
  }
  return {
    certificate,
    faults: [...faults, ...dateFaults(certificate, nowMs), ...nameFaults(certificate, hostname)],
  }
}

/** What clients must pin to take a certificate that is its own authority; undefined for any other. */
export function selfSignedPin(certificate: X509Certificate): string | undefined {
  const isSelfSigned = certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey)
  return isSelfSigned ? certificatePin(certificate.raw) : undefined
}

/** Whether so little of its life is left that it should have been replaced. */
export function isNearlyExpired(certificate: X509Certificate, nowMs: number): boolean {
  const [fromMs, untilMs] = lifeOf(certificate)
  return nowMs > untilMs - (untilMs - fromMs) * LAST_PART_OF_LIFE
}

/** The day and minute of an instant, UTC. */
function dateText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

export function expiryText(certificate: X509Certificate): string {
  return dateText(lifeOf(certificate)[1])
}

function lifeOf(certificate: X509Certificate): readonly [number, number] {
  return [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
}

/** The first certificate of a PEM text, or why there is none. */
export function parseCertificate(pem: string): X509Certificate | CertificateFault {
  try {
    return new X509Certificate(pem)
  } catch {
    return {
      file: 'certificate',
      kind: 'unreadable',
      found: 'contains no readable certificate',
      expected: "PEM (-----BEGIN CERTIFICATE-----), the relay's own first, then its chain",
    }
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*(?:-----END CERTIFICATE-----)?/g

/** Where in a PEM file a certificate stands that can't be read, from 1; undefined if all can. */
export function damagedCertificate(pem: string): number | undefined {
  const at = (pem.match(PEM_CERTIFICATE) ?? []).findIndex((one) => 'kind' in parseCertificate(one))
  return at === -1 ? undefined : at + 1
}

/** Clients get the whole chain, and TLS does not start with one that is damaged. The leaf is looked at by itself. */
function chainFaults(pem: string): CertificateFault[] {
  const position = damagedCertificate(pem)
  if (position === undefined) return []
  return [
    {
      file: 'certificate',
      kind: 'unreadable',
      found: `certificate ${position} of the chain is damaged`,
      expected: 'a chain of complete certificates, PEM',
    },
  ]
}

function parseKey(pem: string): KeyObject | CertificateFault {
  try {
    return createPrivateKey(pem)
  } catch {
    const isEncrypted = pem.includes('ENCRYPTED')
    return {
      file: 'key',
      kind: 'unreadable',
      found: isEncrypted ? 'is encrypted' : 'contains no readable private key',
      expected: 'PEM without a passphrase (-----BEGIN PRIVATE KEY-----)',
    }
  }
}

function dateFaults(certificate: X509Certificate, nowMs: number): CertificateFault[] {
  const [fromMs, untilMs] = lifeOf(certificate)
  const now = dateText(nowMs)
  const expected = `a certificate that is valid now, ${now}`
  if (nowMs > untilMs) {
    return [{ file: 'certificate', kind: 'expired', found: `expired on ${dateText(untilMs)}`, expected }]
  }
  if (nowMs < fromMs) {
    const found = `is not valid before ${dateText(fromMs)}`
    return [{ file: 'certificate', kind: 'not yet valid', found, expected }]
  }
  return []
}

/** Alternative names alone count: Go's TLS, which the clients use, ignores the common name. */
function nameFaults(certificate: X509Certificate, hostname: string): CertificateFault[] {
  const matched =
    isIP(hostname) === 0
      ? certificate.checkHost(hostname, { subject: 'never' })
      : certificate.checkIP(hostname)
  if (matched !== undefined) return []
  const names: string | undefined = certificate.subjectAltName
  return [
    {
      file: 'certificate',
      kind: 'other name',
      found: names === undefined ? 'has no subject alternative name' : `is for ${names}`,
      expected: `a certificate for ${hostname} (-hostname)`,
    },
  ]
}

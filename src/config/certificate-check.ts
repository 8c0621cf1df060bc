// Checks whether a TLS certificate and key, as PEM, can serve a host name now. Checks texts; certificate-files.ts
// reads the files, and the caller decides what a fault means.

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { certificatePin } from '#protocol/self-signed.ts'

/** Why a certificate and key cannot serve; `file` is the one with the fault. */
export interface CertificateFault {
  readonly file: 'certificate' | 'key'
  readonly kind: 'unreadable' | 'mismatch' | 'expired' | 'not yet valid' | 'other name' | 'refused by clients'
  readonly found: string
  readonly expected: string
}

export interface CheckedCertificate {
  readonly certificate: X509Certificate
  readonly faults: readonly CertificateFault[]
}

/**
 * Clients end the handshake if the certificates are too long: older ones in Go at 64 KiB, which is for all of a message, and
 * OpenSSL's at 100 KB. And the relay would send all of it to whoever connects.
 */
const CHAIN_BYTES_MAX = 60_000
/** Extended key usages: server authentication, and any. */
const SERVER_USAGE = '1.3.6.1.5.5.7.3.1'
const ANY_USAGE = '2.5.29.37.0'
/** In the last tenth of a certificate's life, its renewal is overdue. */
const LAST_PART_OF_LIFE = 0.1

/** The leaf certificate with all faults; only the faults if it cannot be parsed. */
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
    faults: [
      ...faults,
      ...usageFaults(certificate),
      ...dateFaults(certificate, nowMs),
      ...nameFaults(certificate, hostname),
    ],
  }
}

/** The pin by which clients accept a self-signed certificate; undefined for a certificate of an authority. */
export function selfSignedPin(certificate: X509Certificate): string | undefined {
  try {
    const isSelfSigned =
      certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey)
    return isSelfSigned ? certificatePin(certificate.raw) : undefined
  } catch {
    // A public key that cannot be read has signed nothing.
    return undefined
  }
}

/** Whether the certificate is in the last part of its life, so its renewal is overdue. */
export function isNearlyExpired(certificate: X509Certificate, nowMs: number): boolean {
  const [fromMs, untilMs] = lifeOf(certificate)
  return nowMs > untilMs - (untilMs - fromMs) * LAST_PART_OF_LIFE
}

/** Day and minute, UTC. */
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

/** The certificates of a PEM text, each as it stands there. */
export function certificatesIn(pem: string): readonly string[] {
  return pem.match(PEM_CERTIFICATE) ?? []
}

/** The position, from 1, of the first certificate in a PEM text that cannot be parsed; undefined if all can. */
export function damagedCertificate(pem: string): number | undefined {
  const at = certificatesIn(pem).findIndex((one) => 'kind' in parseCertificate(one))
  return at === -1 ? undefined : at + 1
}

/** TLS does not start with a damaged certificate anywhere in the chain. The leaf is checked on its own. */
function chainFaults(pem: string): CertificateFault[] {
  const bytes = chainBytes(pem)
  if (bytes > CHAIN_BYTES_MAX) {
    const found = `has ${certificatesIn(pem).length} certificates with ${bytes} bytes, which clients refuse`
    const expected = `${CHAIN_BYTES_MAX} bytes at most: the relay's own certificate and its chain, and no bundle of authorities`
    return [{ file: 'certificate', kind: 'refused by clients', found, expected }]
  }
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

/** What a handshake sends of them. */
function chainBytes(pem: string): number {
  const base64 = certificatesIn(pem).map((one) => one.replaceAll(/-----[^-]*-----|[\s=]/g, ''))
  return base64.reduce((bytes, { length }) => bytes + Math.floor((length * 3) / 4), 0)
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

/** Without a usage, any is permitted. Clients that know a certificate by its pin do not look. */
function usageFaults(certificate: X509Certificate): CertificateFault[] {
  const usages: readonly string[] | undefined = certificate.keyUsage
  const isForServers = usages === undefined || usages.includes(SERVER_USAGE) || usages.includes(ANY_USAGE)
  if (isForServers || selfSignedPin(certificate) !== undefined) return []
  const found = `is not for servers, and clients refuse it (extended key usage ${usages.join(', ')})`
  const expected = `the extended key usage ${SERVER_USAGE}, server authentication`
  return [{ file: 'certificate', kind: 'refused by clients', found, expected }]
}

function dateFaults(certificate: X509Certificate, nowMs: number): CertificateFault[] {
  // What the library makes of a date that it cannot read is no date, and another one each time.
  if ([certificate.validFrom, certificate.validTo].some((text) => Number.isNaN(Date.parse(text)))) {
    const found = 'has dates that cannot be read'
    return [{ file: 'certificate', kind: 'unreadable', found, expected: 'dates as RFC 5280 has them' }]
  }
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

/** Only alternative names count: clients use Go's TLS, which ignores the common name. */
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

// The certificate that the relay serves: read from its files, and its period of validity. Decides nothing about renewal.
// Runs on the control thread, which hands the PEM text to the relay threads.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { CertificateFiles } from '#config/settings.ts'
import type { CertificateLife } from '#ops/metrics.ts'
import type { CertificatePem } from '#transport/tls-identity.ts'

/** @throws the system's error for a file that can't be read */
export function readCertificate({ certificatePath, keyPath }: CertificateFiles): CertificatePem {
  return { certificate: readFileSync(certificatePath, 'utf8'), key: readFileSync(keyPath, 'utf8') }
}

export function certificateLife({ certificate }: CertificatePem, hostname: string): CertificateLife {
  const { validFromDate, validToDate } = new X509Certificate(certificate)
  return { hostname, notBeforeMs: validFromDate.getTime(), notAfterMs: validToDate.getTime() }
}

// The certificate that the relay serves: read from its files, and its period of validity. Decides nothing about renewal.
// Runs on the control thread, which hands the PEM text to the relay threads.

import { X509Certificate } from 'node:crypto'
import { readCertificateFiles, type CertificateFiles } from '#config/certificate-files.ts'
import type { CertificateLife } from '#ops/metrics.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'

/** @throws for files that cannot be read */
export function readCertificate(files: CertificateFiles): CertificatePem {
  const read = readCertificateFiles(files)
  if ('pem' in read) return read.pem
  throw new Error(read.unread.map(({ path, reason }) => `${path} ${reason}`).join('; '))
}

export function certificateLife({ certificate }: CertificatePem, hostname: string): CertificateLife {
  const { validFromDate, validToDate } = new X509Certificate(certificate)
  return { hostname, notBeforeMs: validFromDate.getTime(), notAfterMs: validToDate.getTime() }
}

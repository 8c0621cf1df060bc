// The one reader of the operator's certificate files, PEM: the relay's certificate with its key, and authorities that
// the relay is to trust. The check of the settings, the start, `map` and `probe` all read here. Reading is bounded.
// Whether a certificate can serve is certificate-check.ts's; the authorities that the system brings are read by
// trusted-roots.ts (admission/).

import { join } from 'node:path'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { inOrder } from './certificate-chain.ts'
import { damagedCertificate } from './certificate-check.ts'
import { readChangingFile, readFileText, whyUnread, type FileText } from './file-text.ts'

/** A chain has a few kilobytes. */
const CERTIFICATE_BYTES_MAX = 1_048_576

/** The paths of a certificate chain and its key. */
export interface CertificateFiles {
  readonly certificatePath: string
  readonly keyPath: string
}

/** The two files of a host name in a folder, named as derper names them. */
export function certificateFilesIn(folder: string, hostname: string): CertificateFiles {
  const name = hostname.replaceAll(/[^a-zA-Z0-9.-]/g, '')
  return { certificatePath: join(folder, `${name}.crt`), keyPath: join(folder, `${name}.key`) }
}

export type CertificateReading =
  | { readonly pem: CertificatePem }
  | {
      /** Neither file exists, so a first start may create both. */
      readonly areBothMissing: boolean
      /** Each file that cannot be read; path and reason make a sentence. */
      readonly unread: readonly { readonly path: string; readonly reason: string }[]
    }

/** Reads a certificate and its key; tries both files, so that one reading reports both. */
export function readCertificateFiles(files: CertificateFiles): CertificateReading {
  return readingOf(files, readFileText(files.certificatePath), readFileText(files.keyPath))
}

/** The same for files that may be replaced while the relay serves. */
export async function readChangingCertificate(files: CertificateFiles): Promise<CertificateReading> {
  const [certificate, key] = await Promise.all(
    [files.certificatePath, files.keyPath].map(
      async (path) => await readChangingFile(path, CERTIFICATE_BYTES_MAX),
    ),
  )
  const nothing: FileText = { missing: true }
  return readingOf(files, certificate ?? nothing, key ?? nothing)
}

function readingOf(files: CertificateFiles, certificate: FileText, key: FileText): CertificateReading {
  if ('text' in certificate && 'text' in key) {
    return { pem: inOrder({ certificate: certificate.text, key: key.text }) }
  }
  const unread = [
    { path: files.certificatePath, file: certificate },
    { path: files.keyPath, file: key },
  ].flatMap(({ path, file }) => ('text' in file ? [] : [{ path, reason: whyUnread(file) }]))
  return { areBothMissing: 'missing' in certificate && 'missing' in key, unread }
}

/** Reads a certificate alone, for its pin. */
export function readCertificateFile(path: string): FileText {
  return readFileText(path)
}

/**
 * Reads a file of authorities' certificates. Each of them can be parsed: with one that cannot, TLS makes no connection.
 * Otherwise `found` says what is wrong, with the path.
 */
export function readAuthoritiesFile(path: string): { readonly pem: string } | { readonly found: string } {
  const file = readFileText(path)
  if (!('text' in file)) return { found: `${path} ${whyUnread(file)}` }
  if (!file.text.includes('-----BEGIN CERTIFICATE-----')) return { found: `${path} contains no certificate` }
  const position = damagedCertificate(file.text)
  return position === undefined
    ? { pem: file.text }
    : { found: `certificate ${position} in ${path} is damaged` }
}

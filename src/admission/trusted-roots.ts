// This host's trusted roots, read as Go's programs on Linux read them: the system's certificate file and folders, which
// SSL_CERT_FILE and SSL_CERT_DIR replace. Anything in the files that is no certificate is skipped. Also checks, by Go's
// rules, whether a certificate is valid for a host. Files that the relay's options name are read by
// config/certificate-files.ts instead.

import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  createSecureContext,
  getCACertificates,
  rootCertificates,
  type PeerCertificate,
  type SecureContext,
} from 'node:tls'
import { ipToBytes } from '#protocol/ip-address.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import type { Environment } from './verifier.ts'

/** The file's place in different distributions; the first that can be read is used. */
const FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
/** All are used. */
const FOLDERS = ['/etc/ssl/certs', '/etc/pki/tls/certs']

/** The roots as a TLS context. */
export function trustOf(env: Environment): SecureContext {
  const roots = systemRoots(env)
  // A container may have no roots; then Node's own are used. NODE_EXTRA_CA_CERTS is used in any case.
  const ca = [...(roots.length > 0 ? roots : rootCertificates), ...getCACertificates('extra')]
  // A certificate that the operator trusts is trusted even if another authority has signed it.
  return createSecureContext({ ca, allowPartialTrustChain: true })
}

/** PEM, each once. */
export function systemRoots(env: Environment): readonly string[] {
  const files = isSet(env['SSL_CERT_FILE']) ? [env['SSL_CERT_FILE']] : FILES
  const folders = isSet(env['SSL_CERT_DIR']) ? env['SSL_CERT_DIR'].split(':') : FOLDERS
  const bodies = new Set<string>()
  const first = files.map(readIfThere).find((text) => text !== undefined)
  for (const body of certificatesIn(first ?? '')) bodies.add(body)
  for (const folder of folders) {
    for (const name of namesIn(folder)) {
      for (const body of certificatesIn(readIfThere(`${folder}/${name}`) ?? '')) bodies.add(body)
    }
  }
  return [...bodies].map(pemOf).filter((pem) => pem !== undefined)
}

/** The base64 bodies of the certificates in a text: a system lists each certificate two or three times. */
function certificatesIn(text: string): string[] {
  const found: string[] = []
  for (const [, body = ''] of text.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g)) {
    // A body with headers is encrypted or has another purpose.
    if (!body.includes(':')) found.push(body.replace(/\s+/g, ''))
  }
  return found
}

/** Normalised PEM; undefined for anything that is no certificate. */
function pemOf(body: string): string | undefined {
  try {
    return new X509Certificate(Buffer.from(body, 'base64')).toString()
  } catch {
    return undefined
  }
}

/**
 * An error unless the certificate is valid for this host. Only alternative names count, since Go ignores the common
 * name; a wildcard stands for the whole first label, under a domain of any length.
 */
export function checkIdentity(host: string, certificate: PeerCertificate): Error | undefined {
  const names = alternativeNames(certificate.subjectaltname ?? '')
  const bare = host.split('%', 1)[0] ?? ''
  const isValid =
    isIP(bare) === 0 ? names.some((name) => isNameFor(name, bare)) : names.some((name) => isIpFor(name, bare))
  if (isValid) return undefined
  const found =
    names.length === 0
      ? 'has no alternative names'
      : `is valid for ${names.map(([, name]) => name).join(', ')}`
  return new Error(`its certificate ${found}, not for ${bare}`)
}

type AlternativeName = readonly [kind: string, value: string]

/** Parses Node's text `DNS:a, IP Address:1.2.3.4`, in which a name with a comma is quoted. */
function alternativeNames(text: string): AlternativeName[] {
  return Array.from(
    text.matchAll(/(DNS|IP Address):("(?:[^"\\]|\\.)*"|[^,]*)/g),
    ([, kind = '', value = '']) => [kind, value.startsWith('"') ? String(JSON.parse(value)) : value],
  )
}

function isIpFor([kind, value]: AlternativeName, ip: string): boolean {
  return kind === 'IP Address' && bytesEqual(ipToBytes(value), ipToBytes(ip))
}

function isNameFor([kind, value]: AlternativeName, host: string): boolean {
  if (kind !== 'DNS' || value === '') return false
  const pattern = value.toLowerCase().replace(/\.$/, '').split('.')
  const labels = host.toLowerCase().replace(/\.$/, '').split('.')
  if (pattern.length !== labels.length) return false
  return pattern.every(
    (label, at) => label === labels[at] || (at === 0 && label === '*' && labels.length > 1),
  )
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== ''
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

// Whom this host trusts, read as Go's programs on Linux read it: the system's certificate file and folders, of which
// SSL_CERT_FILE and SSL_CERT_DIR replace one each. Files may hold anything around, between and inside certificates; what
// is none is passed over. Also whether a certificate is made out to a host, by Go's rules. Files that the relay's options
// name are read by config/certificate-files.ts instead.

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

type Environment = Readonly<Record<string, string | undefined>>

/** Where distributions keep it; the first that can be read counts. */
const FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
/** All of them count. */
const FOLDERS = ['/etc/ssl/certs', '/etc/pki/tls/certs']

/** What TLS connections are verified with. */
export function trustOf(env: Environment): SecureContext {
  const roots = systemRoots(env)
  // A container may have none; then those count that Node brings along. NODE_EXTRA_CA_CERTS holds in any case.
  const ca = [...(roots.length > 0 ? roots : rootCertificates), ...getCACertificates('extra')]
  // What an operator trusts is trusted, whether or not another authority has signed it.
  return createSecureContext({ ca, allowPartialTrustChain: true })
}

/** Each once, PEM. */
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

/** The certificates in a text, in base64 without anything else: a system lists each two or three times. */
function certificatesIn(text: string): string[] {
  const found: string[] = []
  for (const [, body = ''] of text.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g)) {
    // One with headers is encrypted or not meant to be read by us.
    if (!body.includes(':')) found.push(body.replace(/\s+/g, ''))
  }
  return found
}

/** In the one form that every reader takes; undefined for what is no certificate. */
function pemOf(body: string): string | undefined {
  try {
    return new X509Certificate(Buffer.from(body, 'base64')).toString()
  } catch {
    return undefined
  }
}

/**
 * An error unless the certificate is made out to this host: by its alternative names alone, since Go takes no common
 * name, with a wildcard for the whole of the first label, under however short a domain.
 */
export function checkIdentity(host: string, certificate: PeerCertificate): Error | undefined {
  const names = alternativeNames(certificate.subjectaltname ?? '')
  const bare = host.split('%', 1)[0] ?? ''
  const fits =
    isIP(bare) === 0 ? names.some((name) => isNameFor(name, bare)) : names.some((name) => isIpFor(name, bare))
  if (fits) return undefined
  const offer =
    names.length === 0
      ? 'has no alternative names'
      : `is made out to ${names.map(([, name]) => name).join(', ')}`
  return new Error(`its certificate ${offer}, not to ${bare}`)
}

type AlternativeName = readonly [kind: string, value: string]

/** Node's text of them: `DNS:a, IP Address:1.2.3.4`, with what holds a comma in quotes. */
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

// Verifies a server's certificate by the rules of Tailscale's clients, and reads its meta certificate. The rules: the chain
// must verify for the host's name, of which only alternative names count; `CertName` is another name, or the SHA-256 of the
// only certificate that may be presented. If the host is an address, only the chain is verified, since such a client has no
// name to send.

import { createHash, type X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from 'node:tls'
import { readMetaKey } from '#protocol/meta-certificate.ts'

/** How the server's certificate is verified. By default as for any https URL. */
export interface ServerTrust {
  /** Trusted authorities in PEM, instead of Node's own. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[]
  /** The name sent to the server (SNI) and verified, if it is not the host. */
  readonly servername?: string
  /** As in a DERP map: another DNS name to verify, or `sha256-raw:<64 lower-case hex>` to pin the certificate. */
  readonly certName?: string
  /** Verifies nothing but a `certName`. For tests only. */
  readonly isInsecure?: boolean
  /** Highest version offered: `TLSv1.2` shows how a server treats clients that can't use fast start. */
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3'
}

/** The rule for one connection. `sni` is sent to the server; undefined for none. */
export type Verification =
  | { readonly kind: 'none'; readonly sni: string | undefined }
  | { readonly kind: 'chain'; readonly sni: string | undefined; readonly name: string | undefined }
  | { readonly kind: 'pin'; readonly sni: string | undefined; readonly sha256: string }

const PIN_PREFIX = 'sha256-raw:'
const META_NAME_PREFIX = 'derpkey'

/** The rule for a host. @throws RangeError for a pin that no certificate can match */
export function verificationFor(host: string, tls: ServerTrust): Verification {
  const sni = tls.servername ?? (isIP(host) === 0 ? host : undefined)
  const { certName } = tls
  if (certName?.startsWith(PIN_PREFIX) === true) {
    const sha256 = certName.slice(PIN_PREFIX.length)
    if (/^[0-9a-f]{64}$/.test(sha256)) return { kind: 'pin', sni, sha256 }
    throw new RangeError(`certName: expected 64 lower-case hex digits after ${PIN_PREFIX}, got "${sha256}"`)
  }
  if (certName !== undefined) return { kind: 'chain', sni, name: certName }
  return tls.isInsecure === true ? { kind: 'none', sni } : { kind: 'chain', sni, name: sni }
}

/** Why a certificate is not valid for a name; undefined if it is. Like Go, ignores the common name, which Node would use. */
export function nameProblem(name: string, certificate: PeerCertificate): Error | undefined {
  return checkServerIdentity(name, { ...certificate, subject: { ...certificate.subject, CN: '' } })
}

/**
 * The server's certificates in its order. To be called once per connection, since it uses up OpenSSL's list, and only if
 * pin or meta certificate are needed.
 */
export function presentedCertificates(socket: TLSSocket): X509Certificate[] {
  const certificates: X509Certificate[] = []
  // The chain of issuerCertificate holds all certificates that follow, even those that issued nothing. The older
  // getPeerCertificate(true) omits these, and so the meta certificate.
  for (let at = socket.getPeerX509Certificate(); at !== undefined; at = at.issuerCertificate) {
    certificates.push(at)
  }
  return certificates
}

/** The DERP key in the meta certificate; undefined without a usable one. */
export function metaKeyOf(certificates: readonly X509Certificate[]): Uint8Array | undefined {
  for (const certificate of certificates) {
    const meta = readMetaKey(commonName(certificate), certificate.serialNumber)
    if (meta !== undefined) return meta.publicKey
  }
  return undefined
}

/** What is wrong with the certificates by the pin; undefined if nothing is. */
export function pinProblem(
  certificates: readonly X509Certificate[],
  pin: { readonly sni: string | undefined; readonly sha256: string },
  nowMs: number,
): string | undefined {
  const [certificate, ...others] = certificates.filter((one) => !commonName(one).startsWith(META_NAME_PREFIX))
  if (certificate === undefined || others.length > 0) {
    const count = certificate === undefined ? 0 : others.length + 1
    return `certName: expected one certificate besides the meta certificate, the server presented ${count}`
  }
  const sha256 = createHash('sha256').update(certificate.raw).digest('hex')
  if (sha256 !== pin.sha256)
    return `certName: expected a certificate with SHA-256 ${pin.sha256}, got ${sha256}`
  if (nowMs < certificate.validFromDate.getTime() || nowMs > certificate.validToDate.getTime()) {
    return `the pinned certificate is valid from ${certificate.validFrom} to ${certificate.validTo}, not now`
  }
  if (pin.sni !== undefined && certificate.checkHost(pin.sni, { subject: 'never' }) === undefined) {
    return `the pinned certificate is not one for ${pin.sni}`
  }
  return undefined
}

function commonName(certificate: X509Certificate): string {
  // Undefined for a certificate without a subject, unlike in the types.
  const subject: string | undefined = certificate.subject
  return /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? ''
}

// Whether a server's certificate is the right one, by the rules of Tailscale's clients, and what its meta
// certificate says. The rules: the chain must verify for the host's name, which a certificate has among its alternative
// names or not at all; `CertName` is another name, or the SHA-256 of the one certificate that may be presented. An address instead of a name is not compared with the
// certificate, only the chain is verified: such a client has no name to send.

import { createHash, type X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from 'node:tls'
import { readMetaKey } from '#protocol/meta-certificate.ts'

/** How the server's certificate is verified; nothing given means as for any https URL. */
export interface ServerTrust {
  /** Trusted authorities in PEM, instead of those that come with Node. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[]
  /** The name sent to the server (SNI) and verified, if it is not the host. */
  readonly servername?: string
  /** As in a DERP map: another DNS name to verify, or `sha256-raw:<64 lower-case hex>` to pin the certificate. */
  readonly certName?: string
  /** Verify nothing. For tests alone; a `certName` is checked all the same. */
  readonly isInsecure?: boolean
  /** At most this version: `TLSv1.2` shows how a server treats clients that can't start fast. */
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3'
}

/** What is verified. `sni` is sent to the server; undefined sends none. */
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

/** Why a certificate is not one for a name; undefined if it is. Go ignores the common name, where Node falls back on it. */
export function nameProblem(name: string, certificate: PeerCertificate): Error | undefined {
  return checkServerIdentity(name, { ...certificate, subject: { ...certificate.subject, CN: '' } })
}

/**
 * Every certificate that the server presented, in its order. To be called once per connection: OpenSSL's list
 * is used up by it, which is also why a link that needs neither pin nor meta certificate does not call it.
 */
export function presentedCertificates(socket: TLSSocket): X509Certificate[] {
  const certificates: X509Certificate[] = []
  // The issuers of a peer's certificate are those that came behind it, whether or not they issued anything;
  // the older getPeerCertificate(true) leaves out a certificate that issued nothing, as a meta certificate.
  for (let at = socket.getPeerX509Certificate(); at !== undefined; at = at.issuerCertificate) {
    certificates.push(at)
  }
  return certificates
}

/** The DERP key that the server presented; undefined where there is no usable meta certificate. */
export function metaKeyOf(certificates: readonly X509Certificate[]): Uint8Array | undefined {
  for (const certificate of certificates) {
    const meta = readMetaKey(commonName(certificate), certificate.serialNumber)
    if (meta !== undefined) return meta.publicKey
  }
  return undefined
}

/** What is wrong with pinned certificates; undefined when nothing is. */
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
  // A certificate without a subject has none at all, whatever the types say.
  const subject: string | undefined = certificate.subject
  return /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? ''
}

// The TLS contexts of a relay thread: which certificate the next handshake gets. The set is replaced while the relay serves;
// connections keep the context that they began with. Both acceptors ask here, once per handshake. Not concerned with where
// certificates come from, nor with sockets.
//
// A client that names another host gets the first certificate and judges it itself (docs/compatibility.md). Addresses go
// by the connection's own address, because clients that connect to an address send no server name.

import { isIP } from 'node:net'
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls'
import type { CertificatePem, CertificateSet } from '#protocol/certificate-pem.ts'
import { ipToBytes, ipToText, unmapped } from '#protocol/ip-address.ts'
import type { ClientHello } from '#protocol/tls-hello.ts'
import { tlsIdentity, type TlsMaxVersion } from './tls-identity.ts'

/** RFC 8737 §6.2. */
const ACME_PROTOCOL = 'acme-tls/1'

/** What a handshake is done with. */
export interface TlsChoice {
  readonly context: SecureContext
  /** The same as options of a TLS server of the runtime. */
  readonly options: TlsOptions
  /** The accepted protocols in wire form (RFC 7301 §3.1): each name follows its length. */
  readonly alpn: Uint8Array
  /** The connection carries nothing but an authority's validation. */
  readonly isChallenge: boolean
}

export class TlsContexts {
  readonly #maxVersion: TlsMaxVersion
  #default: TlsChoice | undefined = undefined
  #isSingle = true
  /** By DNS name, or by address in its one text form. */
  #byName: ReadonlyMap<string, TlsChoice> = new Map()
  #challenges: ReadonlyMap<string, TlsChoice> = new Map()
  /** By the text that they are made of. */
  #made: ReadonlyMap<string, TlsChoice> = new Map()

  constructor(maxVersion: TlsMaxVersion) {
    this.#maxVersion = maxVersion
  }

  /** New handshakes use this set. @throws if TLS refuses one of it; then nothing has changed */
  use({ certificates, meta, challenges }: CertificateSet): void {
    const made = new Map<string, TlsChoice>()
    const choice = (pem: CertificatePem, isChallenge: boolean): TlsChoice => {
      const text = [isChallenge, pem.certificate, pem.key, isChallenge ? '' : meta].join('\n')
      const one = made.get(text) ?? this.#made.get(text) ?? this.#make(pem, isChallenge ? undefined : meta)
      made.set(text, one)
      return one
    }
    const byName = new Map<string, TlsChoice>()
    for (const { names, pem } of certificates) {
      const one = choice(pem, false)
      // The first certificate for a name counts.
      for (const name of names) if (!byName.has(canonical(name))) byName.set(canonical(name), one)
    }
    const validated = challenges.flatMap(({ names, pem }) => {
      const one = choice(pem, true)
      return names.map((name) => [canonical(name), one] as const)
    })
    const [first] = certificates
    this.#default = first && choice(first.pem, false)
    this.#isSingle = certificates.length <= 1
    this.#byName = byName
    this.#challenges = new Map(validated)
    this.#made = made
  }

  /** Whether new handshakes may still get `choice`. */
  has(choice: TlsChoice): boolean {
    return [...this.#made.values()].includes(choice)
  }

  /**
   * Undefined: there is no certificate yet, so the handshake is refused.
   *
   * @param localAddress asked only if the choice depends on it
   */
  choose({ serverName, isAcmeValidation }: ClientHello, localAddress: () => string): TlsChoice | undefined {
    if (isAcmeValidation) {
      const challenge = this.#challenges.get(serverName ?? '')
      if (challenge !== undefined) return challenge
    }
    if (this.#isSingle || this.#default === undefined) return this.#default
    if (serverName !== undefined && isIP(serverName) === 0) return this.#named(serverName) ?? this.#default
    const own = this.#byName.get(canonical(localAddress()))
    if (own !== undefined || serverName === undefined) return own ?? this.#default
    // Behind address translation, the address that the client knows is not the connection's own.
    return this.#byName.get(canonical(serverName)) ?? this.#default
  }

  /** By the name itself, or a wildcard in place of its first label. */
  #named(serverName: string): TlsChoice | undefined {
    return this.#byName.get(serverName) ?? this.#byName.get(serverName.replace(/^[^.]+/, '*'))
  }

  /** @param meta undefined for a challenge */
  #make(pem: CertificatePem, meta: string | undefined): TlsChoice {
    const isChallenge = meta === undefined
    const protocols = [isChallenge ? ACME_PROTOCOL : 'http/1.1']
    const options = tlsIdentity({ pem, meta, maxVersion: this.#maxVersion, protocols })
    const alpn = Buffer.from(
      protocols.map((name) => String.fromCodePoint(name.length) + name).join(''),
      'latin1',
    )
    return { context: createSecureContext(options), options, alpn, isChallenge }
  }
}

/** A name in the form in which names are compared. */
function canonical(name: string): string {
  const bare = unmapped(name)
  return isIP(bare) === 0 ? bare.toLowerCase() : ipToText(ipToBytes(bare)) || bare
}

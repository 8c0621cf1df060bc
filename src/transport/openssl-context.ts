// A context of OpenSSL (SSL_CTX) with the settings that the runtime's TLS would have: the same certificates, ciphers and versions
// (tls-identity.ts). It selects no application protocol, since that takes a callback from C: connections that offer protocols are
// the runtime's (openssl-tls.ts).

import type { TlsOptions } from 'node:tls'
import { OpensslError, type OpensslMemory } from './openssl-memory.ts'
import {
  SSL_CTRL_CHAIN_CERT,
  SSL_CTRL_MODE,
  SSL_CTRL_SET_MAX_PROTO_VERSION,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_MODE_NO_AUTO_CHAIN,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_SESS_CACHE_OFF,
  TLS1_2_VERSION,
  TLS1_3_VERSION,
  type Openssl,
} from './openssl.ts'

const VERSIONS = { 'TLSv1.2': TLS1_2_VERSION, 'TLSv1.3': TLS1_3_VERSION } as const
/** Of the names of cipher suites, those of TLS 1.3. */
const TLS_1_3_PREFIX = 'TLS_'
/** The control that adds a certificate counts it as used once more. */
const COUNT_AS_USED = 1

/** @throws OpensslError if OpenSSL refuses one of the settings; then nothing is left behind */
export function openContext(openssl: Openssl, memory: OpensslMemory, options: TlsOptions): number {
  openssl.clearErrors()
  const context = memory.newContext()
  try {
    new ContextSettings(openssl, memory, context).apply(options)
    return context
  } catch (error) {
    memory.freeContext(context)
    throw error
  }
}

class ContextSettings {
  readonly #openssl: Openssl
  readonly #memory: OpensslMemory
  readonly #context: number

  constructor(openssl: Openssl, memory: OpensslMemory, context: number) {
    this.#openssl = openssl
    this.#memory = memory
    this.#context = context
  }

  apply(options: TlsOptions): void {
    const { cert, ciphers = '', key, maxVersion, minVersion, secureOptions = 0 } = options
    // tls-identity.ts gives PEM as text.
    if (typeof cert !== 'string' || typeof key !== 'string')
      throw new Error('certificate and key are no text')
    this.#control('set the oldest version', SSL_CTRL_SET_MIN_PROTO_VERSION, versionOf(minVersion))
    this.#control('set the newest version', SSL_CTRL_SET_MAX_PROTO_VERSION, versionOf(maxVersion))
    this.#openssl.setOptions(this.#context, secureOptions)
    this.#useCiphers(ciphers.split(':'))
    // Nothing is resumed, so nothing is kept for that.
    this.#openssl.controlContext(this.#context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, 0)
    this.#check('set the number of tickets', this.#openssl.setTickets(this.#context, 0))
    const modes = SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN
    this.#control('set modes', SSL_CTRL_MODE, modes)
    this.#readPem(cert, (bio) => this.#useChain(bio))
    this.#readPem(key, (bio) => this.#useKey(bio))
    this.#check('use the key with its certificate', this.#openssl.checkKey(this.#context))
  }

  #useCiphers(names: readonly string[]): void {
    const [of13, of12] = [true, false].map((is13) =>
      cString(names.filter((name) => name.startsWith(TLS_1_3_PREFIX) === is13).join(':')),
    ) as [Buffer, Buffer]
    this.#check('use the ciphers', this.#openssl.setCiphers(this.#context, of12))
    this.#check('use the ciphers of TLS 1.3', this.#openssl.setCiphers13(this.#context, of13))
  }

  #readPem(pem: string, use: (bio: number) => void): void {
    const bytes = Buffer.from(pem)
    const bio = this.#openssl.newBioOf(bytes, bytes.length)
    this.#check('read PEM', bio)
    try {
      this.#memory.borrow(bio, 'freeBio', use)
    } finally {
      bytes.fill(0)
    }
  }

  /** The first certificate is the relay's own; the others are presented after it as they are. */
  #useChain(bio: number): void {
    let count = 0
    for (;;) {
      const certificate = this.#openssl.readCertificate(bio, 0, 0, 0)
      if (certificate === 0) break
      this.#memory.borrow(certificate, 'freeCertificate', () => {
        if (count === 0)
          this.#check('use the certificate', this.#openssl.useCertificate(this.#context, certificate))
        else this.#control('add a certificate', SSL_CTRL_CHAIN_CERT, COUNT_AS_USED, certificate)
      })
      count++
    }
    if (count === 0) throw OpensslError.of(this.#openssl, 'read a certificate')
    // At the end of the text, OpenSSL notes that no certificate follows.
    this.#openssl.clearErrors()
  }

  #useKey(bio: number): void {
    // An empty passphrase: without one, OpenSSL would ask at the terminal.
    const key = this.#openssl.readKey(bio, 0, 0, cString(''))
    this.#check('read the key', key)
    this.#memory.borrow(key, 'freeKey', () =>
      this.#check('use the key', this.#openssl.useKey(this.#context, key)),
    )
  }

  #control(what: string, command: number, number: number, address = 0): void {
    this.#check(what, this.#openssl.controlContext(this.#context, command, number, address))
  }

  #check(what: string, result: number): void {
    if (result <= 0) throw OpensslError.of(this.#openssl, what)
  }
}

function versionOf(name: string | undefined): number {
  return VERSIONS[name as keyof typeof VERSIONS]
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`)
}

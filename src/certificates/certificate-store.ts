// The certificates in derper's folder (-certdir), in derper's files, so that a relay takes over derper's folder as it is, and
// derper can take it back. A host name has one file, as Go's autocert writes it: the key, then the chain. An IP address has a
// .crt and a .key. Several relays may share the folder: files are replaced as a whole, and one relay at a time renews. What is
// read may be old or another relay's; whether it can serve is judged by who reads it.

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { certificatesIn, damagedCertificate } from '#config/certificate-check.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { ipToBytes, ipToText } from '#protocol/ip-address.ts'
import { AttemptRecord, type AttemptsOf } from './attempt-record.ts'
import { RenewalLease } from './renewal-lease.ts'
import { proveWritable, readStored, StoreError, writeStored } from './stored-file.ts'

/** A host name as the settings permit it; anything else must not become a path. */
const HOST_NAME = /^[A-Za-z0-9_*][A-Za-z0-9._*-]{0,252}$/

export class CertificateStore {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** Undefined if there is none. @throws StoreError for files that cannot be read, or hold no whole certificate and key */
  async read(name: string): Promise<CertificatePem | undefined> {
    if (isIP(name) !== 0) return await this.#readPair(addressName(name))
    const base = hostFile(name)
    // autocert keeps a second certificate for clients without ECDSA. It serves all clients as well.
    return (await this.#readJoined(base)) ?? (await this.#readJoined(`${base}+rsa`))
  }

  /** @throws StoreError; then what was stored before is unchanged */
  async write(name: string, pem: CertificatePem): Promise<void> {
    const key = createPrivateKey(pem.key)
    const [keyText, chainText] = [keyTextOf(key), chainTextOf(pem.certificate)]
    if (isIP(name) === 0) {
      const suffix = key.asymmetricKeyType === 'rsa' ? '+rsa' : ''
      return await writeStored(this.#path(hostFile(name) + suffix), keyText + chainText)
    }
    // In derper's order. A reader between the two writes finds that they do not match, and looks again.
    await writeStored(this.#path(`${addressName(name)}.key`), keyText)
    await writeStored(this.#path(`${addressName(name)}.crt`), chainText, 0o644)
  }

  /** @throws StoreError if the folder could not take a new certificate */
  async check(): Promise<void> {
    await proveWritable(this.folder)
  }

  /** The right to renew the certificate of a name; undefined while another relay has it. */
  async lease(name: string): Promise<RenewalLease | undefined> {
    return await RenewalLease.take(this.#path(`${baseOf(name)}+lease`))
  }

  /** What has failed for a name at that authority. */
  attempts(name: string, who: AttemptsOf): AttemptRecord {
    return new AttemptRecord(this.#path(`${baseOf(name)}+attempts`), who)
  }

  #path(file: string): string {
    return join(this.folder, file)
  }

  async #readJoined(file: string): Promise<CertificatePem | undefined> {
    const path = this.#path(file)
    const text = await readStored(path)
    return text === undefined ? undefined : pemOf(text, text, path)
  }

  async #readPair(base: string): Promise<CertificatePem | undefined> {
    const chain = await readStored(this.#path(`${base}.crt`))
    const key = await readStored(this.#path(`${base}.key`))
    return chain === undefined || key === undefined ? undefined : pemOf(chain, key, this.#path(`${base}.crt`))
  }
}

function pemOf(chain: string, keys: string, path: string): CertificatePem {
  const key = privateKeyIn(keys)
  if (key === undefined) throw new StoreError(`${path} has no readable private key`)
  const certificate = chainTextOf(chain)
  const damaged = damagedCertificate(certificate)
  if (certificate === '' || damaged !== undefined) {
    throw new StoreError(
      `${path} has ${certificate === '' ? 'no certificate' : `a damaged certificate ${damaged}`}`,
    )
  }
  return { certificate, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----([^-]*)-----END [A-Z ]*PRIVATE KEY-----/
const KEY_FORMS = ['pkcs8', 'sec1', 'pkcs1'] as const

/** The first private key in a PEM text. As autocert does, goes by the content: the label may name another form. */
function privateKeyIn(text: string): KeyObject | undefined {
  const [, base64] = PRIVATE_KEY.exec(text) ?? []
  if (base64 === undefined) return undefined
  const der = Buffer.from(base64, 'base64')
  for (const type of KEY_FORMS) {
    try {
      return createPrivateKey({ key: der, format: 'der', type })
    } catch {
      // The next form.
    }
  }
  return undefined
}

/** In the form that autocert writes for this type of key. */
function keyTextOf(key: KeyObject): string {
  const { asymmetricKeyType } = key
  if (asymmetricKeyType === 'ec') return key.export({ type: 'sec1', format: 'pem' }).toString()
  if (asymmetricKeyType === 'rsa') return key.export({ type: 'pkcs1', format: 'pem' }).toString()
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** The certificates alone, each on lines of its own. */
function chainTextOf(pem: string): string {
  return certificatesIn(pem)
    .map((one) => `${one}\n`)
    .join('')
}

/** Of what is kept beside the certificate of a name. */
function baseOf(name: string): string {
  return isIP(name) === 0 ? hostFile(name) : addressName(name)
}

/** autocert looks for the name in lower case. */
function hostFile(name: string): string {
  if (!HOST_NAME.test(name)) throw new StoreError(`${JSON.stringify(name)} cannot be the name of a file`)
  return name.toLowerCase()
}

/** As derper names the files of an address: its shortest form, with dots for colons. */
function addressName(address: string): string {
  return ipToText(ipToBytes(address)).replaceAll(':', '.')
}

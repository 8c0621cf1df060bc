// Certificates for relays under test, made with the openssl command: P-256, either self-signed (what a client
// pins by its SHA-256) or issued by an authority made for the test (what a client that checks names trusts). Not
// for anything but tests on loopback: the keys are written unencrypted and are as short-lived as the folder.

import { X509Certificate } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { runOk } from './process.ts'

export type Certificate = {
  /** PEM files; a relay in derper's manual mode looks for them as `<name>.crt` and `<name>.key`. */
  readonly certPath: string
  readonly keyPath: string
  /** SHA-256 of the certificate's DER in lower-case hex, as `CertName: "sha256-raw:…"` in a DERP map has it. */
  readonly sha256: string
}

/** Probes refuse a certificate with 7 days or less to live; browsers one that lives more than 398 days. */
const validDays = 90

/** P-256 is the curve that every client takes; the key is left unencrypted for the relay to read. */
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Makes `<name>.crt` and `<name>.key` in a folder: a certificate for a host name or an IP address, signed by itself. */
export async function makeCertificate(folder: string, name: string): Promise<Certificate> {
  const { certPath, keyPath } = paths(folder, name)
  const extension = ['-addext', `subjectAltName=${alternativeName(name)}`]
  const lifetime = ['-x509', '-days', `${validDays}`, '-keyout', keyPath, '-out', certPath]
  await runOk('openssl', ['req', ...newKey, ...lifetime, '-subj', `/CN=${name}`, ...extension])
  return describe(certPath, keyPath)
}

/** Makes `<name>.crt` and `<name>.key` in a folder: an authority that {@link issueCertificate} signs with. */
export async function makeAuthority(folder: string, name: string): Promise<Certificate> {
  const { certPath, keyPath } = paths(folder, name)
  // openssl's own defaults for a self-signed certificate make it an authority.
  const lifetime = ['-x509', '-days', `${validDays}`, '-keyout', keyPath, '-out', certPath]
  await runOk('openssl', ['req', ...newKey, ...lifetime, '-subj', `/CN=${name}`])
  return describe(certPath, keyPath)
}

/** Makes `<name>.crt` and `<name>.key` in a folder: a server's certificate, signed by an authority. */
export async function issueCertificate(
  folder: string,
  name: string,
  authority: Certificate,
): Promise<Certificate> {
  const { certPath, keyPath } = paths(folder, name)
  const requestPath = join(folder, `${name}.csr`)
  const extensionsPath = join(folder, `${name}.ext`)
  await writeFile(
    extensionsPath,
    [
      `subjectAltName=${alternativeName(name)}`,
      'basicConstraints=critical,CA:FALSE',
      'extendedKeyUsage=serverAuth',
      'subjectKeyIdentifier=hash',
      'authorityKeyIdentifier=keyid',
    ].join('\n'),
  )
  await runOk('openssl', ['req', ...newKey, '-keyout', keyPath, '-out', requestPath, '-subj', `/CN=${name}`])
  const signer = ['-CA', authority.certPath, '-CAkey', authority.keyPath, '-CAcreateserial']
  const issued = ['-days', `${validDays}`, '-extfile', extensionsPath, '-out', certPath]
  await runOk('openssl', ['x509', '-req', '-in', requestPath, ...signer, ...issued])
  await Promise.all([rm(requestPath), rm(extensionsPath)])
  return describe(certPath, keyPath)
}

function paths(folder: string, name: string): { certPath: string; keyPath: string } {
  return { certPath: join(folder, `${name}.crt`), keyPath: join(folder, `${name}.key`) }
}

function alternativeName(name: string): string {
  return isIP(name) === 0 ? `DNS:${name}` : `IP:${name}`
}

async function describe(certPath: string, keyPath: string): Promise<Certificate> {
  const { fingerprint256 } = new X509Certificate(await readFile(certPath))
  return { certPath, keyPath, sha256: fingerprint256.replaceAll(':', '').toLowerCase() }
}

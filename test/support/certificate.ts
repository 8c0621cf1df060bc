// Certificates for relays under test, made with the openssl command: P-256, either self-signed (for clients that pin
// the SHA-256) or issued by an authority that the test makes (for clients that verify names). Only for tests on
// loopback: the keys are unencrypted, and the caller removes the folder.

import { randomBytes, X509Certificate } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { runOk } from './process.ts'

export type Certificate = {
  /** PEM files. A relay in derper's manual mode expects the names `<name>.crt` and `<name>.key`. */
  readonly certPath: string
  readonly keyPath: string
  /** SHA-256 of the certificate's DER in lower-case hex, for `CertName: "sha256-raw:…"` in a DERP map. */
  readonly sha256: string
}

/**
 * Probes refuse a certificate that expires within 7 days; browsers refuse one with a lifetime of more than 398 days.
 */
const validDays = 90

/** All clients accept P-256. The key is unencrypted, since the relay has to read it. */
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Makes `<name>.crt` and `<name>.key` in a folder: a self-signed certificate for a host name or an IP address. */
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
  // By openssl's defaults a self-signed certificate is an authority.
  const lifetime = ['-x509', '-days', `${validDays}`, '-keyout', keyPath, '-out', certPath]
  await runOk('openssl', ['req', ...newKey, ...lifetime, '-subj', `/CN=${name}`])
  return describe(certPath, keyPath)
}

/**
 * Makes `<name>.crt` and `<name>.key` in a folder: a server's certificate, signed by an authority.
 *
 * @param host the host name or IP address that it is for
 */
export async function issueCertificate(
  folder: string,
  name: string,
  authority: Certificate,
  host: string = name,
): Promise<Certificate> {
  const { certPath, keyPath } = paths(folder, name)
  const requestPath = join(folder, `${name}.csr`)
  const extensionsPath = join(folder, `${name}.ext`)
  await writeFile(extensionsPath, serverExtensions(host).join('\n'))
  await runOk('openssl', ['req', ...newKey, '-keyout', keyPath, '-out', requestPath, '-subj', `/CN=${name}`])
  // Random, because certificates are issued at the same time; a file of serial numbers would be read half written.
  const serial = `0x4${randomBytes(16).toString('hex')}`
  const signer = ['-CA', authority.certPath, '-CAkey', authority.keyPath, '-set_serial', serial]
  const issued = ['-days', `${validDays}`, '-extfile', extensionsPath, '-out', certPath]
  await runOk('openssl', ['x509', '-req', '-in', requestPath, ...signer, ...issued])
  await Promise.all([rm(requestPath), rm(extensionsPath)])
  return describe(certPath, keyPath)
}

/** From when to when a certificate is valid, Unix time in milliseconds. */
export interface Life {
  readonly fromMs: number
  readonly untilMs: number
}

/** Replaces `<name>.crt` in a folder by a certificate for the same key and name, of another life. */
export async function reissueCertificate(
  folder: string,
  name: string,
  authority: Certificate,
  { fromMs, untilMs }: Life,
): Promise<void> {
  const { certPath, keyPath } = paths(folder, name)
  // Of openssl's commands in Debian 12, only this one takes the beginning of a life; it wants a file of what it has issued.
  const [records, config, request, made] = ['records', 'conf', 'csr', 'new'].map((end) =>
    join(folder, `${name}.${end}`),
  ) as [string, string, string, string]
  const lines = [
    '[ca]\ndefault_ca = own\n[own]',
    `database = ${records}`,
    `new_certs_dir = ${folder}`,
    'rand_serial = yes\ndefault_md = sha256\npolicy = names\nx509_extensions = server\nunique_subject = no',
    '[names]\ncommonName = supplied\n[server]',
    ...serverExtensions(name),
  ]
  await Promise.all([writeFile(config, `${lines.join('\n')}\n`), writeFile(records, '')])
  await runOk('openssl', ['req', '-new', '-key', keyPath, '-out', request, '-subj', `/CN=${name}`])
  const signer = ['-cert', authority.certPath, '-keyfile', authority.keyPath]
  const life = ['-startdate', opensslTime(fromMs), '-enddate', opensslTime(untilMs)]
  const files = ['-config', config, '-in', request, '-out', made]
  await runOk('openssl', ['ca', '-batch', '-notext', ...files, ...signer, ...life])
  await rename(made, certPath)
}

/** As `20260131235959Z`. */
function opensslTime(ms: number): string {
  return `${new Date(ms).toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`
}

function serverExtensions(host: string): readonly string[] {
  return [
    `subjectAltName=${alternativeName(host)}`,
    'basicConstraints=critical,CA:FALSE',
    'extendedKeyUsage=serverAuth',
    'subjectKeyIdentifier=hash',
    'authorityKeyIdentifier=keyid',
  ]
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

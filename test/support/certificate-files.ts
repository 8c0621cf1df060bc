// The ways in which tools replace a relay's certificate files, and what a relay presents at a moment.

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import type { CertificatePem } from '#protocol/certificate-pem.ts'

/** Replaces `<name>.crt` and `<name>.key` in a folder. */
export type Replacement = (folder: string, name: string, pem: CertificatePem) => void

/** As certbot and lego do: new files beside the old ones, renamed. */
export const byRename: Replacement = (folder, name, { certificate, key }) => {
  for (const [suffix, text] of [
    ['key', key],
    ['crt', certificate],
  ] as const) {
    const next = join(folder, `.new.${suffix}`)
    writeFileSync(next, text)
    renameSync(next, join(folder, `${name}.${suffix}`))
  }
}

/** As `cp` does: the file exists empty and half for a moment. */
export const inPlace: Replacement = (folder, name, { certificate, key }) => {
  writeFileSync(join(folder, `${name}.crt`), '')
  writeFileSync(join(folder, `${name}.crt`), certificate.slice(0, 300))
  writeFileSync(join(folder, `${name}.crt`), certificate)
  writeFileSync(join(folder, `${name}.key`), key)
}

let version = 0

/** As Kubernetes does for a mounted secret: `..data` is a link to a folder, and the files are links through it. */
export const bySymbolicLink: Replacement = (folder, name, { certificate, key }) => {
  const next = `..version_${++version}`
  mkdirSync(join(folder, next))
  writeFileSync(join(folder, next, `${name}.crt`), certificate)
  writeFileSync(join(folder, next, `${name}.key`), key)
  symlinkSync(next, join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  rmSync(join(folder, `..version_${version - 1}`), { recursive: true, force: true })
}

/** Turns a folder with `<name>.crt` and `<name>.key` into the form of a mounted secret. */
export function asMountedSecret(folder: string, name: string): void {
  const first = `..version_${++version}`
  mkdirSync(join(folder, first))
  symlinkSync(first, join(folder, '..data'))
  for (const file of [`${name}.crt`, `${name}.key`]) {
    cpSync(join(folder, file), join(folder, first, file), { dereference: true })
    if (existsSync(join(folder, file))) rmSync(join(folder, file))
    symlinkSync(join('..data', file), join(folder, file))
  }
}

/** SHA-256 of a certificate, or of the first one in a PEM text, as `openssl` prints it. */
export function fingerprintOf(certificate: string): string {
  return new X509Certificate(certificate).fingerprint256
}

/** The fingerprint of what a relay presents in a new handshake. */
export async function presentedAt(port: number, host = '127.0.0.1', servername = ''): Promise<string> {
  const name = servername === '' ? {} : { servername }
  const socket = connect({ host, port, rejectUnauthorized: false, ...name })
  try {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().fingerprint256
  } finally {
    socket.destroy()
  }
}

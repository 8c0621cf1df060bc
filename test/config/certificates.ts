// Certificates of every age and state, created without waiting.

import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { certificatePem, selfSignedCertificate } from '#protocol/self-signed.ts'
import type { TemporaryFolder } from './temporary-folder.ts'

export const DAY_MS = 86_400_000

export interface Pair {
  readonly certificate: string
  readonly key: string
}

export function makePair(names: readonly string[], fromMs: number, untilMs: number): Pair {
  const key = newKey()
  const certificate = selfSignedCertificate({ names, key, serial: randomBytes(16), fromMs, untilMs })
  return { certificate: certificatePem(certificate), key: keyPem(key) }
}

/** Valid for one more day. */
export function goodPair(...names: string[]): Pair {
  const nowMs = Date.now()
  return makePair(names, nowMs - DAY_MS, nowMs + DAY_MS)
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
}

export function keyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

export function writePair(folder: TemporaryFolder, name: string, pair: Pair): void {
  folder.write(`${name}.crt`, pair.certificate)
  folder.write(`${name}.key`, pair.key)
}

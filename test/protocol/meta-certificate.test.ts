// The meta certificate: DER byte for byte, as OpenSSL reads it, and behind a real leaf in a TLS handshake.

import { createPublicKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer, type SecureVersion } from 'node:tls'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { metaCertificate, metaCertificateBetween, readMetaKey } from '#protocol/meta-certificate.ts'
import { makeCertificate } from '../support/certificate.ts'
import { runOk } from '../support/process.ts'
import { sha256 } from '../vectors/hex.ts'
import { clientB, server } from '../vectors/keys.ts'
import { metaCertificate as vector } from '../vectors/meta-certificate.ts'
import { exactly } from './arbitraries.ts'

const validity = { fromMs: Date.parse(vector.from), untilMs: Date.parse(vector.until) }
const serverKey = Uint8Array.from(server.publicKey)

it('writes the whole certificate byte for byte', () => {
  const certificate = metaCertificateBetween(server.publicKey, vector.seed, validity)
  expect(toHex(certificate)).toBe(toHex(vector.der))
  expect(sha256(certificate).toString('hex')).toBe(vector.sha256)
})

it('makes a certificate that OpenSSL reads: serial 2, the key as its name, its own signature', () => {
  const certificate = new X509Certificate(metaCertificateBetween(server.publicKey, vector.seed, validity))
  expect(certificate.serialNumber).toBe('02')
  expect(certificate.subject).toBe(`CN=${vector.commonName}`)
  expect(certificate.issuer).toBe(certificate.subject)
  expect(certificate.checkIssued(certificate)).toBe(true)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.ca).toBe(false)
  expect([Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]).toEqual([
    validity.fromMs,
    validity.untilMs,
  ])
  const spki = Buffer.from(certificate.publicKey.export({ format: 'der', type: 'spki' }))
  expect(toHex(spki.subarray(-32))).toBe(toHex(vector.signingPublicKey))
})

it('makes a valid certificate for any key at any time: 30 days before now to 30 days after', () => {
  const someDay = fc.integer({ min: Date.parse('2020-01-01'), max: Date.parse('2049-11-30') })
  fc.assert(
    fc.property(exactly(32), exactly(32), someDay, (publicKey, seed, nowMs) => {
      const certificate = new X509Certificate(metaCertificate(publicKey, seed, nowMs))
      expect(
        certificate.verify(createPublicKey(certificate.publicKey.export({ format: 'pem', type: 'spki' }))),
      ).toBe(true)
      const second = Math.floor(nowMs / 1_000) * 1_000
      const month = 30 * 86_400_000
      expect(Date.parse(certificate.validFrom)).toBe(second - month)
      expect(Date.parse(certificate.validTo)).toBe(second + month)
      const commonName = certificate.subject.replace('CN=', '')
      expect(readMetaKey(commonName, certificate.serialNumber)).toEqual({ publicKey, version: 2 })
    }),
    { numRuns: 30 },
  )
})

it('reads key and version, the key in either case and any version up to 255', () => {
  const { commonName } = vector
  const upper = `derpkey${toHex(server.publicKey).toUpperCase()}`
  expect(readMetaKey(commonName, '02')).toEqual({ publicKey: serverKey, version: vector.version })
  expect(readMetaKey(upper, '01')).toEqual({ publicKey: serverKey, version: 1 })
  expect(readMetaKey(commonName, 'FF')).toEqual({ publicKey: serverKey, version: 255 })
})

it.each([
  ['version 0', vector.commonName, '00'],
  ['a version over 255', vector.commonName, '0100'],
  ['a random serial', vector.commonName, '4F3A9C01D2'],
  ['no serial', vector.commonName, ''],
  ['another name', 'derp1.example.com', '02'],
  ['no name', '', '02'],
  ['a prefix in upper case', vector.commonName.replace('derpkey', 'DERPKEY'), '02'],
  ['a digit too few', vector.commonName.slice(0, -1), '02'],
  ['a digit too many', `${vector.commonName}0`, '02'],
  ['a digit that is none', `${vector.commonName.slice(0, -1)}g`, '02'],
])('reads nothing from a certificate with %s', (_name, commonName, serial) => {
  expect(readMetaKey(commonName, serial)).toBeUndefined()
})

let folder = ''
let leaf = { cert: '', key: '' }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meta-certificate-'))
  const { certPath, keyPath } = await makeCertificate(folder, 'derp1.example.com')
  leaf = { cert: await readFile(certPath, 'utf8'), key: await readFile(keyPath, 'utf8') }
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** A TLS server with a leaf and the meta certificate of clientB's key. */
async function serveChain() {
  const meta = new X509Certificate(metaCertificate(clientB.publicKey, vector.seed, Date.now()))
  const listener = createServer({ cert: leaf.cert + meta.toString(), key: leaf.key }, (socket) =>
    socket.end(),
  )
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return {
    meta,
    port: (listener.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      listener.close()
      await once(listener, 'close')
    },
  }
}

it('is presented behind the leaf, last in the chain, and a client finds the key', async () => {
  await using chain = await serveChain()
  const target = ['-connect', `127.0.0.1:${chain.port}`, '-servername', 'derp1.example.com', '-tls1_3']
  const trust = ['-CAfile', join(folder, 'derp1.example.com.crt'), '-verify_return_error']
  const printed = await runOk('openssl', ['s_client', '-showcerts', ...target, ...trust])
  const presented = printed.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const [first, last] = presented.map((pem) => new X509Certificate(pem))
  expect(presented.length).toBe(2)
  expect(printed).toContain('Verify return code: 0 (ok)')
  expect(first?.raw).toEqual(new X509Certificate(leaf.cert).raw)
  expect(last?.raw).toEqual(chain.meta.raw)
  expect(readMetaKey(last?.subject.replace('CN=', '') ?? '', last?.serialNumber ?? '')).toEqual({
    publicKey: Uint8Array.from(clientB.publicKey),
    version: 2,
  })
})

it.each(['TLSv1.2', 'TLSv1.3'] satisfies SecureVersion[])(
  'does not affect a client that verifies, over %s',
  async (version) => {
    await using chain = await serveChain()
    const socket = connect({
      host: '127.0.0.1',
      port: chain.port,
      servername: 'derp1.example.com',
      ca: leaf.cert,
      minVersion: version,
      maxVersion: version,
    })
    await once(socket, 'secureConnect')
    expect([socket.authorized, socket.getProtocol()]).toEqual([true, version])
    socket.destroy()
  },
)

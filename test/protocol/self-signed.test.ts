// Self-signed certificates as OpenSSL reads them, and with a TLS client that trusts them.

import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { certificatePem, certificatePin, selfSignedCertificate } from '#protocol/self-signed.ts'
import { sha256 } from '../vectors/hex.ts'
import { exactly } from './arbitraries.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const validity = { fromMs: Date.now() - 60_000, untilMs: Date.now() + 86_400_000 }
const names = ['derp1.example.com', '127.0.0.1', '2001:db8::7']

function certificateFor(givenNames: string[], serial: Uint8Array = new Uint8Array(16).fill(9)): Uint8Array {
  return selfSignedCertificate({ names: givenNames, key: privateKey, serial, ...validity })
}

it('makes a certificate that OpenSSL accepts for its names and no other', () => {
  const certificate = new X509Certificate(certificateFor(names))
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.checkPrivateKey(privateKey)).toBe(true)
  expect([certificate.subject, certificate.ca]).toEqual(['CN=derp1.example.com', false])
  expect(certificate.checkHost('derp1.example.com')).toBe('derp1.example.com')
  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
  expect(certificate.checkIP('2001:db8::7')).toBe('2001:db8::7')
  expect(certificate.checkHost('derp2.example.com')).toBeUndefined()
  expect(certificate.checkIP('127.0.0.2')).toBeUndefined()
  expect(Date.parse(certificate.validTo)).toBe(Math.floor(validity.untilMs / 1_000) * 1_000)
})

it('makes a positive serial number of 16 bytes from any 16 bytes', () => {
  fc.assert(
    fc.property(exactly(16), (serial) => {
      const certificate = new X509Certificate(certificateFor(names, serial))
      const first = ((serial[0] ?? 0) & 0x7f) | 0x40
      expect(Number.parseInt(certificate.serialNumber.slice(0, 2), 16)).toBe(first)
      expect(certificate.serialNumber.slice(2).toLowerCase()).toBe(
        Buffer.from(serial.subarray(1)).toString('hex'),
      )
    }),
    { numRuns: 20 },
  )
})

it('puts a name that is too long for a common name into the alternative names only', () => {
  const long = `${'a'.repeat(50)}.${'b'.repeat(20)}.example.com`
  const certificate = new X509Certificate(certificateFor([long]))
  expect(certificate.subject ?? '').toBe('')
  expect(certificate.checkHost(long)).toBe(long)
  const longest = `${'a'.repeat(50)}.${'b'.repeat(13)}`
  expect(new X509Certificate(certificateFor([longest])).subject).toBe(`CN=${longest}`)
})

it('pins the SHA-256 of the whole certificate', () => {
  const certificate = certificateFor(names)
  expect(certificatePin(certificate)).toBe(`sha256-raw:${sha256(certificate).toString('hex')}`)
  const pem = new X509Certificate(certificatePem(certificate))
  expect(pem.raw).toEqual(Buffer.from(certificate))
})

it.each(['derp1.example.com', '127.0.0.1'])(
  'serves TLS to a client that trusts it, for the name %s',
  async (name) => {
    const cert = certificatePem(certificateFor(names))
    const key = privateKey.export({ format: 'pem', type: 'pkcs8' })
    const listener = createServer({ cert, key }, (accepted) => accepted.end())
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    const servername = name === '127.0.0.1' ? {} : { servername: name }
    const socket = connect({ host: '127.0.0.1', port, ca: cert, ...servername })
    await once(socket, 'secureConnect')
    expect(socket.authorized).toBe(true)
    socket.destroy()
    listener.close()
    await once(listener, 'close')
  },
)

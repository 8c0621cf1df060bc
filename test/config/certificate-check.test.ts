import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { certificatePin } from '#protocol/self-signed.ts'
import { checkCertificate, isNearlyExpired, selfSignedPin } from '#config/certificate-check.ts'
import { runOk } from '../support/process.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { DAY_MS, goodPair, keyPem, makePair, newKey } from './certificates.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const NOW_MS = Date.UTC(2026, 5, 15, 12, 30)

function faultsOf(pem: { certificate: string; key: string }, hostname = 'derp.example.com'): string[] {
  const { faults } = checkCertificate(pem, hostname, NOW_MS)
  return faults.map(({ file, found, expected }) => `${file} ${found}; expected ${expected}`)
}

const good = makePair(['derp.example.com', '192.0.2.7', '*.lab.example'], NOW_MS - DAY_MS, NOW_MS + DAY_MS)

test.each(['derp.example.com', '192.0.2.7', 'fra.lab.example', 'DERP.example.com'])(
  'accepts the host name %s',
  (name) => {
    expect(faultsOf(good, name)).toEqual([])
  },
)

test.each(['example.com', 'a.derp.example.com', '192.0.2.8', 'lab.example'])(
  'reports that the certificate is not for %s',
  (name) => {
    expect(faultsOf(good, name)).toEqual([
      'certificate is for DNS:derp.example.com, IP Address:192.0.2.7, DNS:*.lab.example; ' +
        `expected a certificate for ${name} (-hostname)`,
    ])
  },
)

test('ignores the common name, as Go does', async () => {
  using folder = new TemporaryFolder()
  // An authority has no alternative names.
  const { certPath, keyPath } = await makeAuthority(folder.path, 'derp.example.com')
  const pem = { certificate: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') }
  const { faults } = checkCertificate(pem, 'derp.example.com', Date.now() + 1_000)
  expect(faults).toEqual([
    {
      file: 'certificate',
      kind: 'other name',
      found: 'has no subject alternative name',
      expected: 'a certificate for derp.example.com (-hostname)',
    },
  ])
})

test('a chain that clients would refuse is refused', () => {
  const chain = (count: number): string => Array.from({ length: count }, () => good.certificate).join('')
  const { length } = new X509Certificate(good.certificate).raw
  const most = Math.floor(60_000 / length)
  expect(faultsOf({ ...good, certificate: chain(most) })).toEqual([])
  expect(faultsOf({ ...good, certificate: chain(most + 1) })).toEqual([
    `certificate has ${most + 1} certificates with ${(most + 1) * length} bytes, which clients refuse; ` +
      "expected 60000 bytes at most: the relay's own certificate and its chain, and no bundle of authorities",
  ])
})

test('a certificate that is not for servers is refused, as clients refuse it', async () => {
  using folder = new TemporaryFolder()
  const authority = await makeAuthority(folder.path, 'authority')
  const usagesFaults = async (usages: string): Promise<string[]> => {
    const [certPath, keyPath] = [folder.at('own.crt'), folder.at('own.key')]
    const signer = ['-CA', authority.certPath, '-CAkey', authority.keyPath]
    const extensions = ['subjectAltName=DNS:derp.example.com', `extendedKeyUsage=${usages}`]
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyPath]
    const more = extensions.flatMap((extension) => ['-addext', extension])
    await runOk('openssl', ['req', '-x509', ...signer, ...key, '-subj', '/CN=own', ...more, '-out', certPath])
    const pem = { certificate: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') }
    return checkCertificate(pem, 'derp.example.com', Date.now() + 1_000).faults.map(({ found }) => found)
  }
  for (const usages of ['serverAuth', 'clientAuth,serverAuth', 'anyExtendedKeyUsage']) {
    expect(await usagesFaults(usages)).toEqual([])
  }
  expect(await usagesFaults('clientAuth,codeSigning')).toEqual([
    'is not for servers, and clients refuse it (extended key usage 1.3.6.1.5.5.7.3.2, 1.3.6.1.5.5.7.3.3)',
  ])
})

test('a certificate whose public key cannot be read has no pin', () => {
  const der = Buffer.from(new X509Certificate(good.certificate).raw)
  // BIT STRING of 66 bytes: no unused bits, then an uncompressed point.
  const point = der.indexOf(Buffer.from([0x03, 66, 0, 4]))
  der[point + 3] = 5
  expect(selfSignedPin(new X509Certificate(der))).toBeUndefined()
})

test.each([0, 1])('a date that is none is a fault, whatever the library makes of it (%i)', (which) => {
  const der = Buffer.from(new X509Certificate(good.certificate).raw)
  // UTCTime: tag, length, 13 characters of which the last must be Z.
  const first = der.indexOf(Buffer.from([0x17, 13]))
  der.write('X', first + which * 15 + 14, 'latin1')
  const certificate = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
  expect(faultsOf({ ...good, certificate })).toEqual([
    'certificate has dates that cannot be read; expected dates as RFC 5280 has them',
  ])
})

test('reports the dates of a certificate that is not valid now', () => {
  const old = makePair(['derp.example.com'], NOW_MS - 2 * DAY_MS, NOW_MS - DAY_MS)
  const early = makePair(['derp.example.com'], NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS)
  expect(faultsOf(old)).toEqual([
    'certificate expired on 2026-06-14 12:30 UTC; expected a certificate that is valid now, 2026-06-15 12:30 UTC',
  ])
  expect(faultsOf(early)).toEqual([
    'certificate is not valid before 2026-06-16 12:30 UTC; expected a certificate that is valid now, 2026-06-15 12:30 UTC',
  ])
})

test('reports all faults at once', () => {
  const old = makePair(['other.example'], NOW_MS - 2 * DAY_MS, NOW_MS - DAY_MS)
  const { faults } = checkCertificate({ ...old, key: keyPem(newKey()) }, 'derp.example.com', NOW_MS)
  expect(faults.map(({ kind }) => kind)).toEqual(['mismatch', 'expired', 'other name'])
})

test('distinguishes an unreadable file from an encrypted key', async () => {
  using folder = new TemporaryFolder()
  const key = folder.write('plain.key', good.key)
  const encrypted = await runOk('openssl', ['pkcs8', '-topk8', '-in', key, '-passout', 'pass:x'])
  expect(faultsOf({ certificate: 'x', key: 'y' }).map((text) => text.split(';')[0])).toEqual([
    'certificate contains no readable certificate',
    'key contains no readable private key',
  ])
  expect(faultsOf({ ...good, key: encrypted })).toEqual([
    'key is encrypted; expected PEM without a passphrase (-----BEGIN PRIVATE KEY-----)',
  ])
})

test('pins a self-signed certificate, but not one of an authority', async () => {
  using folder = new TemporaryFolder()
  const authority = await makeAuthority(folder.path, 'ca')
  const issued = await issueCertificate(folder.path, 'derp.example.com', authority)
  const own = new X509Certificate(goodPair('localhost').certificate)
  expect(selfSignedPin(own)).toBe(certificatePin(own.raw))
  expect(selfSignedPin(new X509Certificate(readFileSync(issued.certPath)))).toBeUndefined()
})

test("recognises the last tenth of a certificate's life", () => {
  const { certificate } = makePair(['a'], NOW_MS, NOW_MS + 10 * DAY_MS)
  const read = new X509Certificate(certificate)
  expect(isNearlyExpired(read, NOW_MS + 8.9 * DAY_MS)).toBe(false)
  expect(isNearlyExpired(read, NOW_MS + 9.1 * DAY_MS)).toBe(true)
})

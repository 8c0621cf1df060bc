// The certificate rules of Tailscale's clients with real handshakes: which servers are accepted or rejected, and the
// messages.

import { X509Certificate } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { DerpConnectError } from '#client/connect-error.ts'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { pinProblem, type ServerTrust } from '#client/tls-verification.ts'
import { issueCertificate, makeAuthority, makeCertificate, type Certificate } from '../support/certificate.ts'
import { FakeServer, type FakeServerOptions } from './fake-server.ts'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
let authority: Certificate
let authorityPem = ''
let localhost: Certificate
let other: Certificate
let selfSigned: Certificate

beforeAll(async () => {
  authority = await makeAuthority(folder(), 'authority')
  authorityPem = await readFile(authority.certPath, 'utf8')
  localhost = await issueCertificate(folder(), 'localhost', authority)
  other = await issueCertificate(folder(), 'other.lab', authority)
  // In another folder, since a certificate's file has its host's name.
  const selfFolder = join(folder(), 'self')
  await mkdir(selfFolder)
  selfSigned = await makeCertificate(selfFolder, 'localhost')
})

/** `connected`, or the stage and message of the failure. */
async function outcome(
  serverOptions: FakeServerOptions,
  clientOptions: { readonly host?: string; readonly tls?: ServerTrust },
): Promise<string> {
  await using server = await FakeServer.start(serverOptions)
  const key = newKeyPair()
  const { port } = server
  const target = { host: 'localhost', dialAddress: '127.0.0.1', port, key, ...clientOptions }
  try {
    await using client = await DerpClient.connect(target)
    return client.way === 'fast-start' ? 'connected' : `connected by ${client.way}`
  } catch (error) {
    if (!(error instanceof DerpConnectError)) throw error
    return `${error.stage}: ${error.message}`
  }
}

test('by default the chain must verify for the host', async () => {
  expect(await outcome({ certificate: localhost }, {})).toMatch(
    /^tls: localhost:\d+ \(127.0.0.1\): unable to verify/,
  )
  expect(await outcome({ certificate: localhost }, { tls: { ca: authorityPem } })).toBe('connected')
  expect(await outcome({ certificate: other }, { tls: { ca: authorityPem } })).toMatch(
    /^tls: .*localhost.* not in/i,
  )
  expect(await outcome({ certificate: selfSigned }, { tls: { ca: authorityPem } })).toMatch(
    /^tls: .*self-signed/,
  )
})

test('an address is not compared with the certificate, but the chain is verified', async () => {
  const host = '127.0.0.1'
  expect(await outcome({ certificate: other }, { host, tls: { ca: authorityPem } })).toBe('connected')
  expect(await outcome({ certificate: selfSigned }, { host })).toMatch(/^tls: .*self-signed/)
})

test('a name as certName is verified instead of the host', async () => {
  const tls = { ca: authorityPem, certName: 'other.lab' }
  expect(await outcome({ certificate: other }, { tls })).toBe('connected')
  expect(await outcome({ certificate: localhost }, { tls })).toMatch(/^tls: .*other\.lab/)
})

test('servername is sent and verified instead of the host', async () => {
  const tls = { ca: authorityPem, servername: 'other.lab' }
  expect(await outcome({ certificate: other }, { tls })).toBe('connected')
  expect(await outcome({ certificate: localhost }, { tls })).toMatch(/^tls: .*other\.lab/)
})

test('a pin accepts exactly one certificate, with any signer', async () => {
  const tls = { certName: `sha256-raw:${selfSigned.sha256}` }
  expect(await outcome({ certificate: selfSigned }, { tls })).toBe('connected')
  expect(await outcome({ certificate: selfSigned, hasMetaCertificate: false }, { tls })).toBe(
    'connected by upgrade',
  )
  expect(await outcome({ certificate: localhost }, { tls })).toBe(
    `tls: certName: expected a certificate with SHA-256 ${selfSigned.sha256}, got ${localhost.sha256}`,
  )
  const pinned = { certName: `sha256-raw:${localhost.sha256}` }
  expect(await outcome({ certificate: localhost, chain: [authority] }, { tls: pinned })).toBe(
    'tls: certName: expected one certificate besides the meta certificate, the server presented 2',
  )
})

test('a pinned certificate must be valid for the name that was sent, if any', async () => {
  const tls = { certName: `sha256-raw:${other.sha256}` }
  expect(await outcome({ certificate: other }, { tls })).toBe(
    'tls: the pinned certificate is not one for localhost',
  )
  expect(await outcome({ certificate: other }, { host: '127.0.0.1', tls })).toBe('connected')
})

test('a common name alone does not count, for a chain or a pin, as in Go', async () => {
  const bareFolder = join(folder(), 'bare')
  await mkdir(bareFolder)
  // Like an authority's certificate: self-signed, without alternative names.
  const bare = await makeAuthority(bareFolder, 'localhost')
  const ca = await readFile(bare.certPath, 'utf8')
  const server = { certificate: bare }
  expect(await outcome(server, { tls: { ca } })).toMatch(/^tls: .*localhost/)
  expect(await outcome(server, { tls: { certName: `sha256-raw:${bare.sha256}` } })).toBe(
    'tls: the pinned certificate is not one for localhost',
  )
  // The certificate is trusted; only the name is missing.
  expect(await outcome(server, { host: '127.0.0.1', tls: { ca } })).toBe('connected')
})

test('a pinned certificate must be within its validity', async () => {
  const certificate = new X509Certificate(await readFile(selfSigned.certPath))
  const pin = { sni: 'localhost', sha256: selfSigned.sha256 }
  const day = 86_400_000
  expect(pinProblem([certificate], pin, certificate.validToDate.getTime() - day)).toBeUndefined()
  expect(pinProblem([certificate], pin, certificate.validToDate.getTime() + day)).toMatch(/not now$/)
  expect(pinProblem([certificate], pin, certificate.validFromDate.getTime() - day)).toMatch(/not now$/)
  expect(pinProblem([], pin, Date.now())).toMatch(/the server presented 0$/)
})

test('isInsecure verifies nothing but a certName', async () => {
  const server = { certificate: selfSigned }
  expect(await outcome(server, { tls: { isInsecure: true } })).toBe('connected')
  expect(await outcome(server, { tls: { isInsecure: true, certName: 'other.lab' } })).toMatch(/^tls: /)
  const tls = { isInsecure: true, certName: `sha256-raw:${other.sha256}` }
  expect(await outcome(server, { tls })).toMatch(/^tls: certName: expected a certificate with SHA-256/)
})

test('below TLS 1.3 the meta certificate is not used', async () => {
  const tls = { ca: authorityPem, maxVersion: 'TLSv1.2' } as const
  expect(await outcome({ certificate: localhost }, { tls })).toBe('connected by upgrade')
})

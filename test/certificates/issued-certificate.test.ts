import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkIssued } from '#certificates/issued-certificate.ts'
import { DAY_MS, goodPair, makePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'

const NAME = 'relay.example'
/** After the certificates have been made. */
const nowMs = Date.now() + 60_000
const folder = new TemporaryFolder()
let issued: { certificate: string; key: string }
let authority: string

beforeAll(async () => {
  const root = await makeAuthority(folder.path, 'root')
  const { certPath, keyPath } = await issueCertificate(folder.path, NAME, root)
  issued = { certificate: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') }
  authority = readFileSync(root.certPath, 'utf8')
})
afterAll(() => folder[Symbol.dispose]())

test('accepts a certificate with its chain, and tells its life', () => {
  const checked = checkIssued({ ...issued, certificate: issued.certificate + authority }, NAME, nowMs)
  expect(checked).toEqual({ life: { fromMs: expect.any(Number), untilMs: expect.any(Number) } })
})

test('refuses a chain that is not in order', () => {
  const other = goodPair('other.example').certificate
  const chain = `${issued.certificate}${other}${authority}`
  expect(checkIssued({ ...issued, certificate: chain }, NAME, nowMs)).toEqual({
    reason: 'unreadable',
    fault: expect.stringMatching(/^certificate 1 of the chain is not signed by certificate 2/),
  })
  expect(checkIssued({ ...issued, certificate: authority + issued.certificate }, NAME, nowMs)).toMatchObject({
    reason: 'mismatch',
  })
})

test('refuses a chain without an end', () => {
  const certificate = issued.certificate + authority.repeat(10)
  expect(checkIssued({ ...issued, certificate }, NAME, nowMs)).toMatchObject({
    fault: expect.stringContaining('11'),
  })
})

test.each([
  ['mismatch', () => ({ certificate: goodPair(NAME).certificate, key: goodPair(NAME).key })],
  ['expired', () => makePair([NAME], nowMs - 3 * DAY_MS, nowMs - DAY_MS)],
  ['not_yet_valid', () => makePair([NAME], nowMs + DAY_MS, nowMs + 3 * DAY_MS)],
  ['other_name', () => goodPair('other.example')],
  ['unreadable', () => ({ certificate: goodPair(NAME).certificate.slice(0, 300), key: goodPair(NAME).key })],
])('refuses a certificate: %s', (reason, make) => {
  expect(checkIssued(make(), NAME, nowMs)).toEqual({ reason, fault: expect.stringContaining('expected') })
})

import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { renewalIdOf, renewalInformationIn } from '#certificates/renewal-information.ts'
import { goodPair } from '../config/certificates.ts'

/** RFC 9773, appendix A. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`
const HOUR_MS = 3_600_000
const NOW_MS = Date.parse('2026-11-01T00:00:00Z')

function answer(body: unknown, headers: Record<string, string> = {}) {
  return { status: 200, headers, body: typeof body === 'string' ? body : JSON.stringify(body) }
}

const WINDOW = { start: '2026-12-01T00:00:00Z', end: '2026-12-03T00:00:00Z' }

test('the identifier of a certificate is that of RFC 9773', () => {
  expect(renewalIdOf(CERTIFICATE)).toBe('aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')
})

test('a certificate with a serial number below zero has no identifier', () => {
  const der = new X509Certificate(CERTIFICATE).raw
  // INTEGER of five bytes; the first bit is the sign.
  der[der.indexOf(Buffer.from('02050087', 'hex')) + 2] = 0x80
  const negative = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
  expect(renewalIdOf(negative)).toBeUndefined()
})

test('a certificate without the key identifier of an authority has no identifier', () => {
  expect(renewalIdOf(goodPair('localhost').certificate)).toBeUndefined()
})

test('reads window, explanation and the time of the next question, which is bounded', () => {
  const body = { suggestedWindow: WINDOW, explanationURL: 'https://ca.example/why' }
  expect(renewalInformationIn(answer(body, { 'retry-after': '7200' }), NOW_MS)).toEqual({
    fromMs: Date.parse(WINDOW.start),
    untilMs: Date.parse(WINDOW.end),
    askAgainMs: 2 * HOUR_MS,
    explanation: 'https://ca.example/why',
  })
  const askAgain = (value: string): number | undefined =>
    renewalInformationIn(answer({ suggestedWindow: WINDOW }, { 'retry-after': value }), NOW_MS)?.askAgainMs
  expect(askAgain('0')).toBe(60_000)
  expect(askAgain('99999999')).toBe(24 * HOUR_MS)
  expect(askAgain('Sun, 01 Nov 2026 03:00:00 GMT')).toBe(3 * HOUR_MS)
  expect(askAgain('soon')).toBe(6 * HOUR_MS)
})

test.each([
  ['no JSON', 'certificate'],
  ['null', 'null'],
  ['no window', {}],
  ['a window that is no object', { suggestedWindow: 'now' }],
  ['a window without an end', { suggestedWindow: { start: WINDOW.start } }],
  ['a window that ends before it starts', { suggestedWindow: { start: WINDOW.end, end: WINDOW.start } }],
  ['times that are none', { suggestedWindow: { start: 'x', end: 'y' } }],
])('%s is no information', (_, body) => {
  expect(renewalInformationIn(answer(body), NOW_MS)).toBeUndefined()
})

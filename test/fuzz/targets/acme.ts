// Answers and certificates of an ACME authority: what it writes reaches the log, timers, and requests.

import { X509Certificate } from 'node:crypto'
import { errorOf } from '#certificates/acme-answer.ts'
import { renewalIdOf, renewalInformationIn } from '#certificates/renewal-information.ts'
import { renewalByWindow } from '#certificates/renewal-schedule.ts'
import { certificatePem } from '#protocol/self-signed.ts'
import { goodPair } from '../../config/certificates.ts'
import { invariant, texts, type FuzzTarget } from '../target.ts'

const NOW_MS = 1_800_000_000_000
const DAY_MS = 86_400_000
const LIFE = { fromMs: NOW_MS - 30 * DAY_MS, untilMs: NOW_MS + 60 * DAY_MS }

/** The header Retry-After, a line feed, and the body. */
const answer: FuzzTarget = {
  name: 'acme-answer',
  corpus: texts(
    '3600\n{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}',
    'Sun, 06 Nov 2026 08:49:37 GMT\n{"detail":"line\\none\\u0000"}',
    '-1\n<html>',
    '60\n{"suggestedWindow":{"start":"2027-01-20T00:00:00Z","end":"2027-01-22T00:00:00Z"},"explanationURL":"https://ca.example/"}',
    '\n{"suggestedWindow":{"start":"0000-01-01T00:00:00Z","end":"9999-12-31T23:59:59.999Z"}}',
    'x\n{"suggestedWindow":null}',
  ),
  tokens: [
    '"detail":',
    '"type":',
    'urn:ietf:params:acme:error:',
    '"suggestedWindow":',
    '"start":',
    '"end":',
    '99999999999',
    '\u2028',
    '\u001b[31m',
  ],
  attempt(input) {
    const text = input.toString('utf8')
    const at = text.indexOf('\n')
    const headers: Record<string, string> = at < 0 ? {} : { 'retry-after': text.slice(0, at) }
    const body = text.slice(at + 1)
    const error = errorOf({ status: 403, headers, body }, 'order', NOW_MS)
    invariant(error !== undefined, 'a status 403 is no error')
    invariant(!/[\p{C}\p{Zl}\p{Zp}]/u.test(error?.message ?? ''), 'a message with control characters')
    invariant((error?.message.length ?? 0) < 3_000, 'a message without an end')
    const { retryAfterMs = 0 } = error ?? {}
    invariant(retryAfterMs >= 0 && retryAfterMs <= DAY_MS, `waits ${retryAfterMs} ms`)
    const information = renewalInformationIn({ status: 200, headers, body }, NOW_MS)
    if (information === undefined) return `${error?.type} ${retryAfterMs}`
    const { askAgainMs, fromMs, untilMs } = information
    invariant(fromMs < untilMs, 'a window without length')
    invariant(askAgainMs >= 60_000 && askAgainMs <= DAY_MS, `asks again after ${askAgainMs} ms`)
    invariant(renewalByWindow(LIFE, information, 0.99) < LIFE.untilMs - 5 * DAY_MS, 'renews too late')
    return 'window'
  },
}

const raw = new X509Certificate(goodPair('relay.example').certificate).raw
/** RFC 9773, appendix A. */
const WITH_KEY_IDENTIFIER = Buffer.from(
  'MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFtcGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDASBgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFfqzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4ByNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK',
  'base64',
)

/** The first byte of the serial number is its sign. */
const WITH_NEGATIVE_SERIAL = Buffer.from(WITH_KEY_IDENTIFIER)
WITH_NEGATIVE_SERIAL[WITH_KEY_IDENTIFIER.indexOf(Buffer.from('02050087', 'hex')) + 2] = 0x80

/** A certificate's DER. The runtime reads it; the identifier for renewal information is read by us. */
const renewalId: FuzzTarget = {
  name: 'renewal-id',
  corpus: [raw, WITH_KEY_IDENTIFIER, WITH_NEGATIVE_SERIAL],
  tokens: ['\x06\x03\x55\x1d\x23', '\x04', '\x30', '\x80', '\x81', '\x82'],
  attempt(input) {
    const pem = certificatePem(input)
    try {
      void new X509Certificate(pem)
    } catch {
      return 'no certificate'
    }
    const id = renewalIdOf(pem)
    // It becomes part of an address.
    invariant(id === undefined || /^[\w-]+\.[\w-]+$/.test(id), `${id} is no identifier`)
    return id === undefined ? 'none' : 'identifier'
  },
}

export const ACME_TARGETS: readonly FuzzTarget[] = [answer, renewalId]

// ACME Renewal Information (ARI, RFC 9773): the name of a certificate in it, and the time window in which the authority asks for
// its renewal. Pure; acme-session.ts asks the server, renewal-schedule.ts decides.

import { X509Certificate } from 'node:crypto'
import { retryAfterMs, type AcmeAnswer } from './acme-answer.ts'

/** An answer is asked for again after this time … (RFC 9773 §4.3.2) */
export const ASK_AGAIN_MS = 21_600_000
/** … unless the server says otherwise, within these bounds. */
const ASK_AGAIN_MS_MIN = 60_000
const ASK_AGAIN_MS_MAX = 86_400_000

export interface RenewalInformation {
  /** Unix time in milliseconds. */
  readonly fromMs: number
  readonly untilMs: number
  readonly askAgainMs: number
  /** A page that explains an unusual window; undefined without one. */
  readonly explanation: string | undefined
}

/** Undefined for an answer that contains no valid window. */
export function renewalInformationIn(answer: AcmeAnswer, nowMs: number): RenewalInformation | undefined {
  const { suggestedWindow, explanationURL } = fieldsOf(parsed(answer.body))
  const { start, end } = fieldsOf(suggestedWindow)
  const [fromMs, untilMs] = [timeOf(start), timeOf(end)]
  if (!(fromMs < untilMs)) return undefined
  const askAgainMs = retryAfterMs(answer, nowMs) ?? ASK_AGAIN_MS
  return {
    fromMs,
    untilMs,
    askAgainMs: Math.min(Math.max(askAgainMs, ASK_AGAIN_MS_MIN), ASK_AGAIN_MS_MAX),
    explanation:
      typeof explanationURL === 'string' && /^https:\/\/[!-~]{1,300}$/.test(explanationURL)
        ? explanationURL
        : undefined,
  }
}

/**
 * The certificate's unique identifier (RFC 9773 §4.1): the key identifier of its authority and its serial number. Undefined for
 * a certificate without such a key identifier, and for a serial number below zero, which no authority gives (RFC 5280 §4.1.2.2).
 */
export function renewalIdOf(certificatePem: string): string | undefined {
  const { raw, serialNumber } = new X509Certificate(certificatePem)
  const keyIdentifier = authorityKeyIdentifier(raw)
  if (keyIdentifier === undefined || serialNumber.startsWith('-')) return undefined
  const digits = serialNumber.padStart(serialNumber.length + (serialNumber.length % 2), '0')
  const serial = Buffer.from(digits, 'hex')
  // DER puts a zero before a first bit of one.
  const content = (serial[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), serial]) : serial
  return `${keyIdentifier.toString('base64url')}.${content.toString('base64url')}`
}

/** `id-ce-authorityKeyIdentifier` (2.5.29.35) in DER. */
const AUTHORITY_KEY_IDENTIFIER = Buffer.from('0603551d23', 'hex')
const OCTET_STRING = 0x04
const SEQUENCE = 0x30
/** keyIdentifier [0] IMPLICIT OCTET STRING */
const KEY_IDENTIFIER = 0x80

/** An extension is the object identifier and an octet string, which here holds a sequence that begins with the key identifier. */
function authorityKeyIdentifier(der: Buffer): Buffer | undefined {
  let at = der.indexOf(AUTHORITY_KEY_IDENTIFIER)
  for (; at >= 0; at = der.indexOf(AUTHORITY_KEY_IDENTIFIER, at + 1)) {
    const value = contentOf(der.subarray(at + AUTHORITY_KEY_IDENTIFIER.length), OCTET_STRING)
    const sequence = value && contentOf(value, SEQUENCE)
    const identifier = sequence && contentOf(sequence, KEY_IDENTIFIER)
    if (identifier !== undefined && identifier.length > 0) return identifier
  }
  return undefined
}

/** The content of the element at the start, if it has that tag. */
function contentOf(der: Buffer, tag: number): Buffer | undefined {
  const [first, length = 0, more = 0] = der
  if (first !== tag) return undefined
  const [from, byteCount] = length < 0x80 ? [2, length] : length === 0x81 ? [3, more] : [0, Infinity]
  return from + byteCount <= der.length ? der.subarray(from, from + byteCount) : undefined
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function timeOf(value: unknown): number {
  return typeof value === 'string' ? Date.parse(value) : Number.NaN
}

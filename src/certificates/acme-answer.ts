// An answer of an ACME server (the certificate authority), and the error that it may report: its problem document (RFC 8555 §6.7)
// and how long it asks to wait. An error's text is for operators: one line, bounded, since the server writes it. Pure.

import type { CertificateFailureReason } from './certificate-source.ts'

export interface AcmeAnswer {
  readonly status: number
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const TEXT_CHARS_MAX = 400
const TYPE_PREFIX = 'urn:ietf:params:acme:error:'
/** A rate limit may last days. One attempt a day does not harm anybody, and a wrong header must not stop renewals for good. */
const RETRY_AFTER_MS_MAX = 86_400_000

export interface AcmeErrorParts {
  readonly cause?: unknown
  /** The problem's type without its prefix, such as `accountDoesNotExist`; undefined if the server sent none. */
  readonly type?: string | undefined
  readonly retryAfterMs?: number | undefined
}

export class AcmeError extends Error {
  readonly reason: CertificateFailureReason
  readonly type: string | undefined
  /** The time that the server asks to wait, bounded. */
  readonly retryAfterMs: number | undefined

  constructor(reason: CertificateFailureReason, text: string, parts: AcmeErrorParts = {}) {
    super(text, { cause: parts.cause })
    this.reason = reason
    this.type = parts.type
    this.retryAfterMs = parts.retryAfterMs
  }
}

/** The error that an answer reports; undefined for an answer that reports none. */
export function errorOf(answer: AcmeAnswer, what: string, nowMs: number): AcmeError | undefined {
  if (answer.status < 400) return undefined
  const { detail, type } = problemIn(answer.body)
  const isRateLimited = answer.status === 429 || type === 'rateLimited'
  const text = `${what}: the authority answers ${JSON.stringify(detail ?? type ?? `status ${answer.status}`)}`
  return new AcmeError(isRateLimited ? 'acme_rate_limited' : 'acme_refused', text, {
    type,
    retryAfterMs: retryAfterMs(answer, nowMs),
  })
}

interface Problem {
  readonly type?: string
  readonly detail?: string
}

function problemIn(body: string): Problem {
  try {
    return problemOf(JSON.parse(body))
  } catch {
    return {}
  }
}

/** Reads a problem document: of an answer, or of a challenge or order that has failed. */
export function problemOf(value: unknown): Problem {
  if (typeof value !== 'object' || value === null) return {}
  const { type, detail } = value as Record<string, unknown>
  return {
    ...(typeof type === 'string' && type.startsWith(TYPE_PREFIX)
      ? { type: oneLine(type.slice(TYPE_PREFIX.length)) }
      : {}),
    ...(typeof detail === 'string' && detail !== '' ? { detail: oneLine(detail) } : {}),
  }
}

/** Seconds or a date; undefined without the header. */
export function retryAfterMs({ headers }: AcmeAnswer, nowMs: number): number | undefined {
  const text = headers['retry-after']
  if (text === undefined) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX)
}

export function oneLine(text: string): string {
  return text
    .slice(0, TEXT_CHARS_MAX)
    .replaceAll(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
}

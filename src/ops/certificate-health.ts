// The readiness check of the TLS certificate: passes if the certificate for the relay's host name is valid now, by the
// relay's clock. Clients refuse an invalid certificate, so a relay without a valid one must not receive clients. A failed
// renewal is told in the detail, and fails the check only when the certificate expires. Renewal is not decided here.

import type { CertificateStatus } from './certificate-families.ts'
import type { HealthCheck, CheckOutcome } from './health.ts'

const DAY_MS = 86_400_000

/** @param nowMs Unix time in milliseconds */
export function certificateHealth(status: () => CertificateStatus, nowMs: () => number): HealthCheck {
  return { name: 'certificate', check: () => judge(status(), nowMs()) }
}

function judge({ certificates, lastFailure }: CertificateStatus, nowMs: number): CheckOutcome {
  const failure = lastFailure === undefined ? '' : `; the last renewal failed: ${lastFailure}`
  const outcome = (isOk: boolean, detail: string): CheckOutcome => ({ isOk, detail: detail + failure })
  const [first] = certificates
  if (first === undefined) return outcome(false, 'no certificate yet')
  const { hostname, notBeforeMs, notAfterMs } = first
  if (nowMs < notBeforeMs) return outcome(false, `${hostname}: not valid before ${time(notBeforeMs)}`)
  if (nowMs > notAfterMs) return outcome(false, `${hostname}: expired at ${time(notAfterMs)}`)
  const days = Math.floor((notAfterMs - nowMs) / DAY_MS)
  return outcome(true, `${hostname}: valid until ${time(notAfterMs)}, ${days} days`)
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

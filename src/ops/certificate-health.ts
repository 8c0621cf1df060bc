// The readiness check of the TLS certificate: passes if the certificate is valid now, by the relay's clock. Clients
// refuse an invalid certificate, so a relay without a valid one must not receive clients. Renewal is not decided here.

import type { HealthCheck, CheckOutcome } from './health.ts'
import type { CertificateLife } from './metrics.ts'

const DAY_MS = 86_400_000

/** @param nowMs Unix time in milliseconds */
export function certificateHealth(
  certificate: () => CertificateLife | undefined,
  nowMs: () => number,
): HealthCheck {
  return { name: 'certificate', check: () => judge(certificate(), nowMs()) }
}

function judge(certificate: CertificateLife | undefined, nowMs: number): CheckOutcome {
  if (certificate === undefined) return { isOk: false, detail: 'no certificate is loaded' }
  const { hostname, notBeforeMs, notAfterMs } = certificate
  if (nowMs < notBeforeMs)
    return { isOk: false, detail: `${hostname}: not valid before ${time(notBeforeMs)}` }
  if (nowMs > notAfterMs) return { isOk: false, detail: `${hostname}: expired at ${time(notAfterMs)}` }
  const days = Math.floor((notAfterMs - nowMs) / DAY_MS)
  return { isOk: true, detail: `${hostname}: valid until ${time(notAfterMs)}, ${days} days` }
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

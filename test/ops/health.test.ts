import { expect, it } from 'vitest'
import { certificateHealth } from '#ops/certificate-health.ts'
import { Health, reportText, type HealthCheck } from '#ops/health.ts'
import { certificate, certificates } from './sources.ts'

const passing: HealthCheck = { name: 'listeners', check: () => ({ isOk: true, detail: 'all bound' }) }

/** A check whose outcome the test changes. */
class Switch implements HealthCheck {
  readonly name: string
  isOk = true

  constructor(name: string) {
    this.name = name
  }

  check(): { isOk: boolean; detail: string } {
    return { isOk: this.isOk, detail: this.isOk ? 'fine' : 'broken' }
  }
}

it('is ready while all checks pass, and runs them for each report', () => {
  const stun = new Switch('stun')
  const draining = new Switch('draining')
  const health = new Health([passing, stun, draining])
  expect(health.report().isReady).toBe(true)
  expect(reportText(health.report(), 'failing')).toBe('ready\n')

  stun.isOk = false
  expect(health.report()).toEqual({
    isReady: false,
    checks: [
      { name: 'listeners', isOk: true, detail: 'all bound' },
      { name: 'stun', isOk: false, detail: 'broken' },
      { name: 'draining', isOk: true, detail: 'fine' },
    ],
  })
  draining.isOk = false
  expect(reportText(health.report(), 'failing')).toBe('not ready\nFAIL stun: broken\nFAIL draining: broken\n')
  draining.isOk = true
  expect(reportText(health.report(), 'all')).toBe(
    'not ready\nok   listeners: all bound\nFAIL stun: broken\nok   draining: fine\n',
  )

  stun.isOk = true
  expect(health.report().isReady).toBe(true)
})

it('the certificate check passes from the first to the last moment of validity', () => {
  let nowMs = certificate.notBeforeMs
  const check = certificateHealth(
    () => certificates([certificate]),
    () => nowMs,
  )
  expect(check.check()).toEqual({
    isOk: true,
    detail: 'relay.example: valid until 2030-04-01T00:00:00.000Z, 90 days',
  })
  nowMs = certificate.notBeforeMs - 1
  expect(check.check()).toEqual({
    isOk: false,
    detail: 'relay.example: not valid before 2030-01-01T00:00:00.000Z',
  })
  nowMs = certificate.notAfterMs
  expect(check.check().isOk).toBe(true)
  nowMs++
  expect(check.check()).toEqual({
    isOk: false,
    detail: 'relay.example: expired at 2030-04-01T00:00:00.000Z',
  })
})

it('the certificate check fails without a certificate', () => {
  const check = certificateHealth(
    () => certificates([]),
    () => 0,
  )
  expect(check.check()).toEqual({ isOk: false, detail: 'no certificate yet' })
})

it('the certificate check tells of a failed renewal and passes all the same', () => {
  const check = certificateHealth(
    () => certificates([certificate], 'the authority is not reachable'),
    () => certificate.notBeforeMs,
  )
  expect(check.check()).toEqual({
    isOk: true,
    detail:
      'relay.example: valid until 2030-04-01T00:00:00.000Z, 90 days; the last renewal failed: the authority is not reachable',
  })
})

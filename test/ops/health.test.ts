import { expect, it } from 'vitest'
import { certificateHealth } from '#ops/certificate-health.ts'
import { Health, reportText, type HealthCheck } from '#ops/health.ts'
import { certificate } from './sources.ts'

const passing: HealthCheck = { name: 'listeners', check: () => ({ isOk: true, detail: 'all bound' }) }

/** A check whose outcome the test changes. */
class Switch implements HealthCheck {
  readonly name: string
  isOk = true

  constructor(name: string) {
    this.name = name
  }

  check(): { isOk: boolean; detail: string } {
    return { isOk: this.isOk, detail: this.isOk ? 'well' : 'sick' }
  }
}

it('is ready while all checks pass, and asks them each time', () => {
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
      { name: 'stun', isOk: false, detail: 'sick' },
      { name: 'draining', isOk: true, detail: 'well' },
    ],
  })
  draining.isOk = false
  expect(reportText(health.report(), 'failing')).toBe('not ready\nFAIL stun: sick\nFAIL draining: sick\n')
  draining.isOk = true
  expect(reportText(health.report(), 'all')).toBe(
    'not ready\nok   listeners: all bound\nFAIL stun: sick\nok   draining: well\n',
  )

  stun.isOk = true
  expect(health.report().isReady).toBe(true)
})

it('a certificate passes from its first to its last moment', () => {
  let nowMs = certificate.notBeforeMs
  const check = certificateHealth(
    () => certificate,
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

it('a certificate that is not there does not pass', () => {
  const check = certificateHealth(
    () => undefined,
    () => 0,
  )
  expect(check.check()).toEqual({ isOk: false, detail: 'none is loaded' })
})

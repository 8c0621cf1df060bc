import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { AcceptBudget } from '#transport/accept-budget.ts'
import { LiveRelay, LIMITS } from '../support/live-relay.ts'

describe('a budget', () => {
  it('is shared by all threads that have its memory', () => {
    const memory = AcceptBudget.memory()
    const threads = Array.from({ length: 4 }, () => new AcceptBudget(memory, 10, 5))
    const takes = (nowMs: number): number =>
      Array.from({ length: 20 }, (_, i) => threads[i % 4]?.tryTake(nowMs)).filter(Boolean).length
    expect(takes(1_000_000)).toBe(5)
    expect(takes(1_000_099)).toBe(0)
    expect(takes(1_000_100)).toBe(1)
    expect(takes(1_000_400)).toBe(3)
    // Full again, and no more than full.
    expect(takes(9_000_000)).toBe(5)
  })
})

it('four threads together accept as many connections as the limit allows, and count them', async () => {
  await using relay = await LiveRelay.start({
    threadCount: 4,
    admin: { host: '127.0.0.1', port: 0 },
    limits: { ...LIMITS, acceptsPerSecond: 0.001, acceptBurst: 5 },
  })
  const open = new Set<unknown>()
  let dialled = 0
  for (let i = 0; i < 80; i++) {
    const remote = connect(relay.port, '127.0.0.1', () => {
      dialled++
      open.add(remote)
    })
    remote.on('error', () => undefined).on('close', () => open.delete(remote))
    remote.resume()
  }
  await expect.poll(() => [dialled, open.size], { timeout: 5_000 }).toEqual([80, 5])
  const metrics = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/metrics`)
  const text = await metrics.text()
  expect(text).toMatch(/^derp_connections_accepted_total 5$/m)
  expect(text).toMatch(/^derp_connections_rejected_total 75$/m)
})

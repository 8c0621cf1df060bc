import { expect, it } from 'vitest'
import { LinkQuality } from '#mesh/link-quality.ts'

/** The eight bytes that a pong copies from the ping. */
function sent(frame: Uint8Array): Uint8Array {
  return frame.subarray(5)
}

it('takes the first answer as it is, and each further one for an eighth', () => {
  const quality = new LinkQuality()
  expect(quality.read()).toEqual({ rttMs: undefined, jitterMs: 0, lossRatio: 0, silentPings: 0 })
  quality.pong(sent(quality.ping(0)), 80)
  expect(quality.read()).toMatchObject({ rttMs: 80, jitterMs: 0 })
  quality.pong(sent(quality.ping(5_000)), 5_000 + 160)
  expect(quality.read()).toMatchObject({ rttMs: 90, jitterMs: 5 })
})

it('counts who is silent, until one ping has its answer again', () => {
  const quality = new LinkQuality()
  for (let pings = 0; pings < 4; pings++) quality.ping(pings * 5_000)
  // The last one may still be answered.
  expect(quality.read()).toMatchObject({ silentPings: 3, lossRatio: 1 })
  quality.pong(sent(quality.ping(20_000)), 20_010)
  expect(quality.read()).toMatchObject({ silentPings: 0, lossRatio: 4 / 5 })
})

it('takes no answer twice, none to another ping, none that is cut short, and one that is late as lost', () => {
  const quality = new LinkQuality()
  const first = sent(quality.ping(0))
  const second = sent(quality.ping(5_000))
  quality.pong(first, 5_010)
  quality.pong(second.subarray(0, 7), 5_010)
  expect(quality.read()).toMatchObject({ rttMs: undefined, silentPings: 1 })
  quality.pong(second, 5_020)
  quality.pong(second, 5_500)
  expect(quality.read()).toMatchObject({ rttMs: 20, silentPings: 0, lossRatio: 1 / 2 })
  quality.pong(sent(quality.ping(10_000)), 13_001)
  expect(quality.read()).toMatchObject({ rttMs: 20, silentPings: 1, lossRatio: 2 / 3 })
})

it('remembers the last sixty pings and no more', () => {
  const quality = new LinkQuality()
  for (let pings = 0; pings < 40; pings++) quality.ping(pings * 5_000)
  quality.disregard()
  for (let pings = 0; pings < 50; pings++) quality.pong(sent(quality.ping(1_000_000)), 1_000_010)
  expect(quality.read().lossRatio).toBe(10 / 60)
  for (let pings = 0; pings < 60; pings++) quality.pong(sent(quality.ping(1_000_000)), 1_000_010)
  expect(quality.read().lossRatio).toBe(0)
})

it('a ping that is disregarded is neither answered nor lost', () => {
  const quality = new LinkQuality()
  const login = sent(quality.ping(0))
  quality.disregard()
  quality.pong(login, 900)
  quality.ping(5_000)
  expect(quality.read()).toEqual({ rttMs: undefined, jitterMs: 0, lossRatio: 0, silentPings: 0 })
})

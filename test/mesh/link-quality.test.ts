import { expect, it } from 'vitest'
import { LinkQuality } from '#mesh/link-quality.ts'

const NOTHING = {
  rttMs: undefined,
  rttMinMs: undefined,
  rttMedianMs: undefined,
  jitterMs: 0,
  lossRatio: 0,
  silentPings: 0,
}

/** The eight bytes of a ping that the pong copies. */
function payloadOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(5)
}

it('the first answer counts in full, each later one for an eighth', () => {
  const quality = new LinkQuality()
  expect(quality.read()).toEqual(NOTHING)
  quality.pong(payloadOf(quality.ping(0)), 80)
  expect(quality.read()).toMatchObject({ rttMs: 80, jitterMs: 0 })
  quality.pong(payloadOf(quality.ping(5_000)), 5_000 + 160)
  expect(quality.read()).toMatchObject({ rttMs: 90, jitterMs: 5 })
})

it('counts consecutive pings without an answer', () => {
  const quality = new LinkQuality()
  for (let pings = 0; pings < 4; pings++) quality.ping(pings * 5_000)
  // The last ping is still open.
  expect(quality.read()).toMatchObject({ silentPings: 3, lossRatio: 1 })
  quality.pong(payloadOf(quality.ping(20_000)), 20_010)
  expect(quality.read()).toMatchObject({ silentPings: 0, lossRatio: 4 / 5 })
})

it('ignores a repeated pong, one to another ping and a truncated one; a late pong counts as lost', () => {
  const quality = new LinkQuality()
  const first = payloadOf(quality.ping(0))
  const second = payloadOf(quality.ping(5_000))
  quality.pong(first, 5_010)
  quality.pong(second.subarray(0, 7), 5_010)
  expect(quality.read()).toMatchObject({ rttMs: undefined, silentPings: 1 })
  quality.pong(second, 5_020)
  quality.pong(second, 5_500)
  expect(quality.read()).toMatchObject({ rttMs: 20, silentPings: 0, lossRatio: 1 / 2 })
  quality.pong(payloadOf(quality.ping(10_000)), 13_001)
  expect(quality.read()).toMatchObject({ rttMs: 20, silentPings: 1, lossRatio: 2 / 3 })
})

it('the loss ratio covers the last sixty pings', () => {
  const quality = new LinkQuality()
  for (let pings = 0; pings < 40; pings++) quality.ping(pings * 5_000)
  quality.disregard()
  for (let pings = 0; pings < 50; pings++) quality.pong(payloadOf(quality.ping(1_000_000)), 1_000_010)
  expect(quality.read().lossRatio).toBe(10 / 60)
  for (let pings = 0; pings < 60; pings++) quality.pong(payloadOf(quality.ping(1_000_000)), 1_000_010)
  expect(quality.read().lossRatio).toBe(0)
})

it('a disregarded ping counts neither as answered nor as lost', () => {
  const quality = new LinkQuality()
  const login = payloadOf(quality.ping(0))
  quality.disregard()
  quality.pong(login, 900)
  quality.ping(5_000)
  expect(quality.read()).toEqual(NOTHING)
})

it('takes out what the processes add to what the kernel measures, and no more', () => {
  const quality = new LinkQuality()
  const answer = (rttMs: number, kernelMs: number): void =>
    quality.pong(payloadOf(quality.ping(0)), rttMs, kernelMs)
  for (const rttMs of [7, 6.75, 8]) answer(rttMs, 6.25)
  expect(quality.read()).toMatchObject({ rttMinMs: 6.25, rttMedianMs: 6.5 })
  // The kernel has not forgotten the path that was shorter.
  const longer = new LinkQuality()
  longer.pong(payloadOf(longer.ping(0)), 50, 6.25)
  expect(longer.read()).toMatchObject({ rttMs: 48, rttMinMs: 48, rttMedianMs: 48 })
  // A smoothed value of an old kernel may be above.
  const smoothed = new LinkQuality()
  smoothed.pong(payloadOf(smoothed.ping(0)), 7, 40)
  expect(smoothed.read()).toMatchObject({ rttMs: 7, rttMinMs: 7 })
})

it('knows the smallest and the median round trip of the last twelve answers', () => {
  const quality = new LinkQuality()
  const answer = (rttMs: number): void => quality.pong(payloadOf(quality.ping(0)), rttMs)
  answer(40)
  expect(quality.read()).toMatchObject({ rttMinMs: 40, rttMedianMs: 40 })
  answer(20)
  expect(quality.read()).toMatchObject({ rttMinMs: 20, rttMedianMs: 30 })
  // A single delayed answer moves the smoothed value, and not the median.
  answer(2_000)
  expect(quality.read()).toMatchObject({ rttMinMs: 20, rttMedianMs: 40 })
  for (let answers = 0; answers < 12; answers++) answer(60 + answers)
  expect(quality.read()).toMatchObject({ rttMinMs: 60, rttMedianMs: 65.5 })
})

// How the connections of tenants share a thread that cannot read all that arrives, whatever their number and the size of what
// they send.

import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { PollRounds } from '#transport/poll-rounds.ts'
import { NO_FLUSH_CONTROL, ReadState, SHARE_BYTES_MAX } from '#transport/read-state.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

interface Tenant {
  readonly weight: number
  readonly connections: number
  /** What a poll brings at most: the connection is busy if it is a whole share. */
  readonly bytesPerPoll: number
}

/** Bytes that were read of each connection of each tenant, in so many turns of a thread that always has more to read. */
async function readIn(turns: number, tenants: readonly Tenant[]): Promise<number[][]> {
  let nowMs = 0
  const rounds = new PollRounds(
    NO_FLUSH_CONTROL,
    () => nowMs,
    () => true,
  )
  const read = tenants.map(({ connections }) => Array.from({ length: connections }, () => 0))
  for (const [n, { weight, connections, bytesPerPoll }] of tenants.entries()) {
    const ofTenant = read[n] ?? []
    const share = { weight, creditBytes: 0, pass: 0 }
    for (let at = 0; at < connections; at++) {
      const readState = new ReadState()
      readState.share = share
      const poll = (): number => {
        // Half a gigabyte in a second.
        nowMs += bytesPerPoll / 500_000
        share.creditBytes -= bytesPerPoll
        ofTenant[at] = (ofTenant[at] ?? 0) + bytesPerPoll
        return bytesPerPoll
      }
      rounds.add({ readState, applyReadState: () => undefined, poll })
    }
  }
  for (let turn = 0; turn < turns; turn++) {
    vi.advanceTimersByTime(1)
    await new Promise(setImmediate)
  }
  return read
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

it.each([
  ['a hundred busy connections and one', 1, SHARE_BYTES_MAX, SHARE_BYTES_MAX],
  ['the one with twice the weight', 2, SHARE_BYTES_MAX, SHARE_BYTES_MAX],
  ['the hundred with twice the weight', 0.5, SHARE_BYTES_MAX, SHARE_BYTES_MAX],
  ['the hundred in small pieces', 1, 9_000, SHARE_BYTES_MAX],
])('tenants are read by their weights: %s', async (_what, weight, ofMany, ofOne) => {
  const [many = [], one = []] = await readIn(4_000, [
    { weight: 1, connections: 100, bytesPerPoll: ofMany },
    { weight, connections: 1, bytesPerPoll: ofOne },
  ])
  expect(sum(one) / sum(many) / weight).toBeGreaterThan(0.9)
  expect(sum(one) / sum(many) / weight).toBeLessThan(1.1)
  // And within the tenant, all of its connections get as much as each other.
  expect(Math.max(...many) / Math.min(...many)).toBeLessThan(1.25)
})

it('what a tenant leaves, the others have', async () => {
  const [many = [], one = []] = await readIn(4_000, [
    { weight: 1, connections: 100, bytesPerPoll: SHARE_BYTES_MAX },
    { weight: 1, connections: 1, bytesPerPoll: 100 },
  ])
  expect(sum(many)).toBeGreaterThan(500 * sum(one))
})

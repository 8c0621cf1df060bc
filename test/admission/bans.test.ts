import { expect, it } from 'vitest'
import { Bans, BANS_MAX, type Ban } from '#admission/bans.ts'
import { alice, bob } from '../support/actor.ts'

const KICK: Ban = { forMs: 60_000, sinceMs: 1, reason: '' }
const STANDING: Ban = { forMs: Infinity, sinceMs: 2, reason: 'copied machine' }

function keyOf(n: number): Uint8Array {
  const key = new Uint8Array(32)
  new DataView(key.buffer).setUint32(0, n + 1)
  return key
}

class Timed {
  nowMs = 1_000
  readonly bans = new Bans(() => this.nowMs)

  refusals(...keys: readonly Uint8Array[]): readonly (string | undefined)[] {
    return keys.map((key) => this.bans.refusal(key))
  }
}

it('denies for a time or without an end, and says why', () => {
  const timed = new Timed()
  timed.bans.set(alice.key, KICK)
  timed.bans.set(bob.key, STANDING)
  expect(timed.refusals(alice.key, bob.key)).toEqual([
    'an operator denies it, for 60 s more',
    'an operator denies it: copied machine',
  ])
  expect(timed.bans.counts).toEqual({ timed: 1, standing: 1 })
  timed.nowMs += 60_000
  expect(timed.refusals(alice.key, bob.key)[0]).toBeUndefined()
  expect(timed.bans.counts).toEqual({ timed: 0, standing: 1 })
  timed.nowMs += 1e12
  expect(timed.bans.all()).toEqual([[Uint8Array.from(bob.key), STANDING]])
  expect([bob.key, bob.key].map((key) => timed.bans.lift(key))).toEqual([true, false])
})

it('a kick lets nobody in who is denied for longer, and a denial says the time anew', () => {
  const { bans } = new Timed()
  bans.set(alice.key, STANDING)
  bans.extend(alice.key, KICK)
  expect(bans.find(alice.key)).toEqual(STANDING)
  bans.set(alice.key, { ...KICK, forMs: 500 })
  expect(bans.find(alice.key)?.forMs).toBe(500)
  bans.extend(alice.key, KICK)
  expect(bans.find(alice.key)).toEqual(KICK)
})

it('is bounded: what ends first makes room, what has no end never does', () => {
  const { bans } = new Timed()
  bans.set(alice.key, KICK)
  for (let n = 1; n < BANS_MAX; n++) expect(bans.set(keyOf(n), STANDING)).toBe(true)
  expect(bans.set(bob.key, { ...KICK, forMs: 59_000 })).toBe(false)
  expect(bans.find(alice.key)).toEqual(KICK)
  expect(bans.set(bob.key, STANDING)).toBe(true)
  expect(bans.find(alice.key)).toBeUndefined()
  expect(bans.set(alice.key, STANDING)).toBe(false)
  // Who is denied already needs no room.
  expect(bans.set(bob.key, { ...STANDING, reason: 'ticket 7' })).toBe(true)
  expect(bans.all()).toHaveLength(BANS_MAX)
})

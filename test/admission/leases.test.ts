// Which lease counts, over time: serials, keys that are exchanged, and a clock that jumps.

import { generateKeyPairSync } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { LeaseClock } from '#admission/lease-clock.ts'
import { Leases } from '#admission/leases.ts'
import { leaseKeyText, leaseText, type LeaseEntry } from '#protocol/lease.ts'

const HOUR_MS = 3_600_000
const NOW_MS = Date.UTC(2026, 10, 27, 14)
const [OLD, NEW] = [generateKeyPairSync('ed25519').privateKey, generateKeyPairSync('ed25519').privateKey]
const [OLD_KEY, NEW_KEY] = [leaseKeyText(OLD), leaseKeyText(NEW)]
const ALICE = new Uint8Array(32).fill(0xaa)
const BOB = new Uint8Array(32).fill(0xbb)

interface Made {
  readonly fromMs?: number
  readonly toMs?: number
  readonly by?: typeof OLD
  readonly keys?: readonly Uint8Array[]
  readonly untilMs?: number
}

function made(
  serial: number,
  { fromMs = 0, toMs = HOUR_MS, by = OLD, keys = [ALICE], untilMs }: Made = {},
): string {
  const notAfterMs = NOW_MS + toMs
  const entries = keys.map((key): LeaseEntry => {
    return { key, isAllowed: true, tenant: 'blue', untilMs: untilMs ?? notAfterMs, name: undefined }
  })
  return leaseText({ serial, notBeforeMs: NOW_MS + fromMs, notAfterMs, entries }, by)
}

let nowMs: number
beforeEach(() => void (nowMs = NOW_MS))
const leases = (keys: readonly string[] = [OLD_KEY], serials = new Map<string, number>()): Leases =>
  new Leases(keys, serials, () => nowMs)

describe('a lease in use', () => {
  let inUse: Leases
  beforeEach(() => {
    inUse = leases()
    expect(inUse.offer(made(10))).toMatchObject({ kind: 'used' })
  })

  it.each<[string, string, string, RegExp]>([
    ['an older serial', made(9), 'refused', /serial 9; expected 10 or more/],
    ['the same serial and other keys', made(10, { keys: [BOB] }), 'refused', /which another lease has/],
    ['the signature of a stranger', made(11, { by: NEW }), 'refused', /signed by none of the 1 keys/],
    [
      'an end in the past',
      made(11, { fromMs: -2 * HOUR_MS, toMs: 0 }),
      'refused',
      /has ended at 2026-11-27T14:00:00Z/,
    ],
    ['a beginning in the future', made(11, { fromMs: 61_000 }), 'early', /begins at 2026-11-27T14:01:01Z/],
    ['half its text', made(11).slice(0, 200), 'refused', /no signature/],
  ])('is not replaced by one with %s', (_case, text, kind, problem) => {
    const offer = inUse.offer(text)
    expect([offer.kind, 'problem' in offer && offer.problem]).toEqual([kind, expect.stringMatching(problem)])
    expect(inUse.find(ALICE)).toEqual({ isAllowed: true, tenant: 'blue', leftMs: HOUR_MS })
    expect(inUse.find(BOB)).toBeUndefined()
    // A larger serial that was refused does not count as seen.
    expect(inUse.offer(made(11, { keys: [BOB] }))).toMatchObject({ kind: 'used' })
    expect(inUse.find(ALICE)).toBeUndefined()
  })

  it('is replaced by one whose maker has a clock that is a minute ahead', () => {
    expect(inUse.offer(made(11, { fromMs: 60_000 }))).toMatchObject({ kind: 'used' })
    expect(inUse.offer(made(11, { fromMs: 60_000 }))).toEqual({ kind: 'same' })
  })

  it('ends to the millisecond by the clock of this host, and a key in it before that', () => {
    nowMs = NOW_MS + HOUR_MS - 1
    expect(inUse.find(ALICE)?.leftMs).toBe(1)
    nowMs++
    expect(inUse.find(ALICE)?.leftMs).toBe(0)
    nowMs = NOW_MS
    inUse.offer(made(11, { keys: [ALICE], untilMs: NOW_MS + 5_000 }))
    expect(inUse.find(ALICE)?.leftMs).toBe(5_000)
  })
})

describe('after a restart', () => {
  it('an older lease that is still valid is not taken', () => {
    const later = leases([OLD_KEY], new Map([[OLD_KEY, 10]]))
    expect(later.offer(made(9))).toMatchObject({ kind: 'refused' })
    later.resume(made(10))
    expect(later.find(ALICE)?.leftMs).toBe(HOUR_MS)
    expect(later.offer(made(10))).toEqual({ kind: 'same' })
  })

  it('what was kept is verified: a forged lease and an older one are passed over, one that has ended is not', () => {
    const later = leases([OLD_KEY], new Map([[OLD_KEY, 10]]))
    later.resume(made(11, { by: NEW }))
    later.resume(made(9))
    expect(later.find(ALICE)).toBeUndefined()
    nowMs += 2 * HOUR_MS
    later.resume(made(10))
    expect(later.find(ALICE)?.leftMs).toBe(-HOUR_MS)
  })
})

describe('while keys are exchanged', () => {
  it('both count, and an older lease of the old key is not taken after one of the new key', () => {
    const both = leases([OLD_KEY, NEW_KEY])
    expect(both.offer(made(10))).toMatchObject({ kind: 'used' })
    expect(both.offer(made(11, { by: NEW, keys: [BOB] }))).toMatchObject({ kind: 'used' })
    expect(both.offer(made(10))).toMatchObject({ kind: 'refused' })
    expect(both.offer(made(12))).toMatchObject({ kind: 'used' })
  })

  it('serials of a key that is trusted no more do not count: who has stolen it has no say', () => {
    const stolen = new Map([
      [OLD_KEY, Number.MAX_SAFE_INTEGER],
      [NEW_KEY, 11],
    ])
    const later = leases([NEW_KEY], stolen)
    later.resume(made(Number.MAX_SAFE_INTEGER))
    expect(later.find(ALICE)).toBeUndefined()
    expect(later.offer(made(12, { by: NEW }))).toMatchObject({ kind: 'used' })
  })
})

describe('a clock', () => {
  let [wallMs, monotonicMs] = [NOW_MS, 5_000]
  const pass = (ms: number): void => void ((wallMs += ms), (monotonicMs += ms))
  let clock: LeaseClock
  beforeEach(() => {
    ;[wallMs, monotonicMs] = [NOW_MS, 5_000]
    clock = new LeaseClock({ wall: () => wallMs, monotonic: () => monotonicMs })
  })
  /** What was found in so many seconds. */
  const looks = (seconds: number): string[] =>
    Array.from({ length: seconds }, () => {
      pass(1_000)
      return clock.look()
    }).filter((found) => found !== 'steady')

  it.each([86_400_000 * 365, -86_400_000])(
    'that jumps by %s ms and back within a minute makes no difference',
    (jumpMs) => {
      wallMs += jumpMs
      expect(looks(59)).toEqual(['jumped'])
      expect(clock.now()).toBe(NOW_MS + 59_000)
      expect(clock.aheadMs).toBe(jumpMs)
      wallMs -= jumpMs
      expect(looks(120)).toEqual([])
      expect(clock.now()).toBe(wallMs)
    },
  )

  it.each([86_400_000, -86_400_000])(
    'that jumps by %s ms and stays there counts after a minute',
    (jumpMs) => {
      wallMs += jumpMs
      expect(looks(61)).toEqual(['jumped', 'followed'])
      expect(clock.now()).toBe(wallMs)
    },
  )

  it('that jumps about is not followed', () => {
    for (let n = 1; n < 10; n++) {
      wallMs += n * 100_000
      looks(40)
    }
    expect(clock.now()).toBe(NOW_MS + 9 * 40_000)
  })

  it('that is set right in small steps is followed at once', () => {
    for (let n = 0; n < 100; n++) {
      wallMs += 500
      expect(looks(1)).toEqual([])
    }
    expect(clock.now()).toBe(wallMs)
  })

  it('that is before a time of which something is known counts from there on, and when it is set right at once', () => {
    ;[wallMs, monotonicMs] = [0, 5_000]
    clock = new LeaseClock({ wall: () => wallMs, monotonic: () => monotonicMs })
    clock.isAfter(NOW_MS)
    expect(looks(100)).toEqual([])
    expect(clock.now()).toBe(NOW_MS)
    wallMs = NOW_MS + 300_000
    expect(looks(1)).toEqual(['followed'])
    expect(clock.now()).toBe(wallMs)
  })
})

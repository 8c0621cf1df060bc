// When packets go directly, by the relay, or both, in a model of one side: a network that passes pings of some sizes to some
// addresses, and another bridge that answers.

import { beforeEach, describe, expect, test } from 'vitest'
import { DirectPath, SMALL_BYTES } from '#bridge/direct-path.ts'

const STEP_MS = 50
const FAR = '192.0.2.7:4000'
const OTHER = '198.51.100.7:4000'

class Network {
  nowMs = 0
  /** What passes to an address, in bytes of a ping. */
  readonly passes = new Map<string, number>()
  /** Answers to what was sent before this do not come. */
  answersFromMs = 0
  hasFarBridge = true
  /** An address whose pings travel through the tunnel: they pass while packets of the VPN do. */
  tunnelled = ''
  rttMs = 20
  pings = 0
  readonly log: string[] = []
  readonly #answers: { readonly atMs: number; readonly id: number; readonly from: string }[] = []
  #heardMs: number | undefined
  #id = 0
  readonly path = new DirectPath({
    ping: (to, id, bytes) => this.#ping(to, id, bytes),
    askFar: () => {
      if (!this.hasFarBridge) return
      this.path.hearFar(this.#heardMs === undefined ? undefined : this.nowMs - this.#heardMs)
    },
    newId: () => this.#id++,
    neededBytes: 0,
    changed: (text) => this.log.push(text),
  })

  /** Returns the ways that packets of a size have taken, one each 50 ms; none of 0 bytes. */
  pass(ms: number, bytes = 100): ReadonlySet<string> {
    const ways = new Set<string>()
    for (const end = this.nowMs + ms; this.nowMs < end;) {
      this.nowMs += STEP_MS
      for (const { id, from } of this.#due()) this.path.pong(id, from, this.nowMs)
      if (this.nowMs % 100 === 0) this.path.tick(this.nowMs)
      if (bytes > 0) ways.add(this.path.wayOf(bytes, this.nowMs))
    }
    return ways
  }

  #ping(to: string, id: number, bytes: number): void {
    this.pings++
    if (to === this.tunnelled ? this.path.isHolding : (this.passes.get(to) ?? -1) < bytes) return
    this.#heardMs = this.nowMs
    if (this.nowMs < this.answersFromMs) return
    this.#answers.push({ atMs: this.nowMs + this.rttMs, id, from: to })
  }

  #due(): readonly { readonly id: number; readonly from: string }[] {
    const due = this.#answers.filter(({ atMs }) => atMs <= this.nowMs)
    for (const one of due) this.#answers.splice(this.#answers.indexOf(one), 1)
    return due
  }
}

let net: Network

beforeEach(() => {
  net = new Network()
})

/** A direct way that all sizes of Ethernet pass. */
function direct(bytesMax = 1_472): void {
  net.passes.set(FAR, bytesMax)
  net.path.offer([OTHER, FAR], net.nowMs)
  net.pass(3_000)
  expect(net.path.path).toMatchObject({ to: FAR })
}

describe('goes directly', () => {
  test('to the address that answers; until that is sure, by both', () => {
    net.passes.set(FAR, 1_472)
    net.path.offer([OTHER, FAR], 0)
    expect(net.pass(1_000)).toEqual(new Set(['relay', 'hold', 'both']))
    net.pass(1_000)
    expect(net.pass(60_000)).toEqual(new Set(['direct']))
    expect(net.log).toEqual([`${FAR} answers over UDP`])
  })

  test('to where the other one is seen to come from, whatever it offers', () => {
    net.path.offer([OTHER], 0)
    net.pass(500)
    net.passes.set(FAR, 1_472)
    net.path.heard(FAR, net.nowMs)
    net.pass(1_000)
    expect(net.path.path?.to).toBe(FAR)
  })

  test('never to an address whose answers come through the tunnel', () => {
    net.tunnelled = FAR
    for (let i = 0; i < 20; i++) {
      net.path.offer([FAR], net.nowMs)
      net.pass(15_000)
      expect(net.path.path).toBeUndefined()
    }
  })

  test('not by an answer that nobody asked for, or from elsewhere', () => {
    net.path.offer([FAR], 0)
    net.pass(1_000)
    for (let id = 0; id < 100; id++) net.path.pong(id, OTHER, net.nowMs)
    net.path.pong(1_000_000, FAR, net.nowMs)
    expect(net.path.isHolding).toBe(false)
    expect(net.pass(1_000)).toEqual(new Set(['relay']))
  })
})

describe('sizes', () => {
  test.each([1_199, 1_200, 1_399, 1_472])('of which up to %i bytes pass', (bytesMax) => {
    direct(bytesMax)
    const known = net.path.path?.bytesMax ?? 0
    expect(known).toBeLessThanOrEqual(bytesMax)
    expect(known).toBeGreaterThan(bytesMax < 1_200 ? SMALL_BYTES - 1 : bytesMax - 80)
    expect(net.pass(5_000, known)).toEqual(new Set(['direct']))
    expect(net.pass(5_000, known + 1)).toEqual(new Set(['relay']))
  })

  test('of a VPN with larger packets are tried, too, after a while', () => {
    direct(1_560)
    net.pass(60_000, 1_560)
    expect(net.path.path?.bytesMax).toBe(1_560)
    expect(net.pass(5_000, 1_560)).toEqual(new Set(['direct']))
  })

  test('that no longer pass take the relay, while small packets stay', () => {
    direct()
    net.passes.set(FAR, 1_300)
    const ways = net.pass(6_000, 1_400)
    expect(ways).toEqual(new Set(['direct', 'both', 'relay']))
    expect(net.pass(5_000, 1_400)).toEqual(new Set(['relay']))
    expect(net.pass(5_000, 1_200)).toEqual(new Set(['direct']))
    expect(net.path.path?.bytesMax).toBe(1_280)
  })
})

describe('returns to the relay', () => {
  test('within three seconds when nothing passes, and by both ways from the first doubt', () => {
    direct()
    net.passes.clear()
    const started = net.nowMs
    expect(net.pass(1_200)).toEqual(new Set(['direct', 'both']))
    while (net.path.path !== undefined) net.pass(STEP_MS)
    expect(net.nowMs - started).toBeLessThanOrEqual(3_000)
    expect(net.pass(1_000)).toEqual(new Set(['relay']))
  })

  test('later where no bridge says that nothing arrives', () => {
    direct()
    net.hasFarBridge = false
    net.passes.clear()
    net.pass(4_000)
    expect(net.path.path?.to).toBe(FAR)
    net.pass(2_500)
    expect(net.path.path).toBeUndefined()
  })

  test('not while the other bridge says that pings arrive', () => {
    direct()
    net.answersFromMs = Infinity
    net.pass(60_000)
    expect(net.path.path?.to).toBe(FAR)
  })

  test('not while nothing is sent; then packets take both ways until an answer has come', () => {
    direct()
    const before = net.pings
    expect(net.pass(3_600_000, 0)).toEqual(new Set())
    expect(net.pings - before).toBeLessThanOrEqual(2 * 400)
    net.passes.clear()
    net.pass(9_000, 0)
    net.passes.set(FAR, 1_472)
    expect(net.path.wayOf(100, net.nowMs)).toBe('both')
    net.pass(1_000)
    expect(net.pass(1_000)).toEqual(new Set(['direct']))
  })
})

test('few pings are sent, whatever is offered', () => {
  for (let i = 0; i < 100; i++) {
    net.path.offer(
      Array.from({ length: 16 }, (_, at) => `192.0.2.${at}:${i + 1}`),
      net.nowMs,
    )
    net.pass(100)
  }
  expect(net.pings).toBeLessThanOrEqual(16 * 101)
  const before = net.pings
  net.pass(60_000)
  expect(net.pings - before).toBeLessThan(16 * 25)
  const after = net.pings
  net.pass(600_000)
  expect(net.pings).toBe(after)
})

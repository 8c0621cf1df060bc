// When a peer leaves its own way and when it returns, in a model of two WireGuards that count what they send and receive, with
// traffic of all kinds, loss, and ways that die in one direction or both.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Steering, type Way } from '#bridge/steering.ts'

const STEP_MS = 50
const ASK_MS = 100

interface Traffic {
  /** Between packets of each side; 0: it sends nothing by itself. */
  readonly hereEveryMs: number
  readonly thereEveryMs: number
  /** Whether each packet has an answer, as a ping. */
  readonly isAnswered: boolean
  /** Of 100 packets. */
  readonly lossPercent: number
}

/** Two hosts: packets arrive within a step; WireGuard answers after 10 s by a keepalive if nothing else was said. */
class Model {
  nowMs = 0
  livesThere = true
  livesHere = true
  hasFarBridge = true
  readonly here = { rx: 0, tx: 0, owesMs: Infinity }
  readonly there = { rx: 0, tx: 0, owesMs: Infinity }
  endpoint: Way = 'native'
  farEndpoint: Way = 'native'
  readonly steering = new Steering('native', 0)
  readonly ways: string[] = []
  #lookMs = 0
  #answerMs = Infinity
  #tryUntilMs = -1
  /** The other bridge tells by itself that its host hears nothing. */
  #unheardThereMs = Infinity
  #toldMs = 0
  #random: () => number
  readonly traffic: Traffic

  constructor(traffic: Traffic, random: () => number) {
    this.traffic = traffic
    this.#random = random
  }

  /** The longest time without a packet that arrived here, while some were sent there. */
  longestGapMs = 0
  #heardMs = 0

  pass(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end;) this.#step()
  }

  #step(): void {
    this.nowMs += STEP_MS
    const { hereEveryMs, thereEveryMs } = this.traffic
    if (hereEveryMs > 0 && this.nowMs % hereEveryMs === 0) this.#send('here', true)
    if (thereEveryMs > 0 && this.nowMs % thereEveryMs === 0) this.#send('there', true)
    if (this.nowMs >= this.here.owesMs) this.#send('here', false)
    if (this.nowMs >= this.there.owesMs) this.#send('there', false)
    if (this.nowMs - this.#unheardThereMs >= 900 && this.nowMs - this.#toldMs >= 1_000) {
      this.#toldMs = this.nowMs
      if (this.hasFarBridge) this.#answerMs = Math.min(this.#answerMs, this.nowMs + ASK_MS)
    }
    if (this.nowMs >= this.#answerMs) {
      this.#answerMs = Infinity
      this.#act(
        this.steering.hear({ rx: this.there.rx, tx: this.there.tx, way: this.farEndpoint }, this.nowMs),
      )
    }
    if (this.nowMs < this.#tryUntilMs) return
    if (this.#tryUntilMs >= 0) {
      this.#tryUntilMs = -1
      const lives = this.farEndpoint === 'native' && this.livesHere
      this.steering.tried(lives, this.nowMs)
      this.endpoint = lives ? 'native' : 'relay'
    }
    if (this.nowMs < this.#lookMs) return
    this.#lookMs = this.nowMs + (this.steering.isDoubtful ? 500 : 1_000)
    const { rx, tx } = this.here
    this.#act(this.steering.look({ rx, tx, endpoint: undefined, keepalive: 0 }, this.endpoint, this.nowMs))
  }

  #send(from: 'here' | 'there', isPayload: boolean): void {
    const [own, other] = from === 'here' ? [this.here, this.there] : [this.there, this.here]
    const way = from === 'here' ? this.endpoint : this.farEndpoint
    own.tx += isPayload ? 128 : 32
    own.owesMs = Infinity
    if (from === 'there') this.#unheardThereMs = Math.min(this.#unheardThereMs, this.nowMs)
    const lives = way === 'relay' || (from === 'here' ? this.livesThere : this.livesHere)
    if (!lives || this.#random() * 100 < this.traffic.lossPercent) return
    other.rx += isPayload ? 128 : 32
    if (from === 'here') {
      this.farEndpoint = way
      this.#unheardThereMs = Infinity
    } else this.endpoint = way
    if (from === 'there') {
      this.longestGapMs = Math.max(this.longestGapMs, this.nowMs - this.#heardMs)
      this.#heardMs = this.nowMs
    }
    if (isPayload && this.traffic.isAnswered && from === 'here') this.#send('there', true)
    else if (isPayload) other.owesMs = Math.min(other.owesMs, this.nowMs + 10_000)
  }

  #act(action: ReturnType<Steering['look']>): void {
    if (action === undefined) return
    if (action === 'ask') {
      if (this.hasFarBridge) this.#answerMs = Math.min(this.#answerMs, this.nowMs + ASK_MS)
    } else if (action === 'try-native') {
      this.endpoint = 'native'
      this.#send('here', false)
      this.#tryUntilMs = this.nowMs + ASK_MS
    } else {
      this.endpoint = 'relay'
      this.ways.push(`${this.nowMs} ${this.endpoint}`)
    }
  }
}

const PING: Traffic = { hereEveryMs: 100, thereEveryMs: 0, isAnswered: true, lossPercent: 0 }

function modelOf(traffic: Traffic, seed = 1): Model {
  let state = seed
  return new Model(traffic, () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  })
}

describe('leaves its own way', () => {
  test.each([
    ['in both directions', false, false],
    ['there only', false, true],
    ['here only', true, false],
  ])('when it is dead %s, within 5 s, and returns when it lives', (_, livesThere, livesHere) => {
    const model = modelOf(PING)
    model.pass(20_000)
    expect(model.ways).toEqual([])
    Object.assign(model, { livesThere, livesHere })
    model.pass(25_000)
    expect(model.steering.way).toBe('relay')
    expect(model.longestGapMs).toBeLessThanOrEqual(5_000)
    Object.assign(model, { livesThere: true, livesHere: true })
    const before = model.longestGapMs
    model.pass(90_000)
    expect(model.steering.way).toBe('native')
    expect(model.farEndpoint).toBe('native')
    expect(model.longestGapMs).toBe(before)
  })

  test('when only the other side has something to say', () => {
    const model = modelOf({ hereEveryMs: 0, thereEveryMs: 100, isAnswered: false, lossPercent: 0 })
    model.pass(20_000)
    model.livesThere = false
    model.livesHere = false
    model.pass(30_000)
    expect(model.steering.way).toBe('relay')
  })

  test('without a bridge on the other side, after silence that WireGuard does not keep', () => {
    const model = modelOf(PING)
    model.hasFarBridge = false
    model.pass(20_000)
    model.livesThere = false
    model.pass(14_000)
    expect(model.steering.way).toBe('native')
    model.pass(4_000)
    expect(model.steering.way).toBe('relay')
  })

  test('and returns ever later to one that does not last', () => {
    const model = modelOf(PING)
    model.pass(5_000)
    for (let i = 0; i < 40; i++) {
      model.livesHere = i % 2 === 1
      model.livesThere = model.livesHere
      model.pass(15_000)
    }
    expect(model.ways.length).toBeLessThan(24)
  })
})

describe('stays on its own way', () => {
  const traffic = fc.record({
    hereEveryMs: fc.constantFrom(0, 50, 100, 500, 1_000, 3_000, 7_000, 25_000),
    thereEveryMs: fc.constantFrom(0, 50, 100, 1_000, 3_000, 25_000),
    isAnswered: fc.boolean(),
    lossPercent: fc.constantFrom(0, 0, 1, 5),
  })

  test('whatever is sent in ten minutes, with a few lost packets', () => {
    fc.assert(
      fc.property(traffic, fc.integer({ min: 1, max: 1_000 }), (kind, seed) => {
        const model = modelOf(kind, seed)
        model.pass(600_000)
        expect(model.ways).toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})

// One link to a sibling that the test plays: what it is told, what it may do, and how it may misbehave.

import { expect, it } from 'vitest'
import { BoxSecret } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, Verdict } from '#protocol/frame-reader.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { peerGoneFrame, peerPresentFrame, pongFrame } from '#protocol/frames.ts'
import { openClientInfo, serverInfoFrame, type ClientInfo } from '#protocol/handshake.ts'
import type { Connection, DialHandler } from '#mesh/dial.ts'
import { RouteBook } from '#mesh/route-book.ts'
import { SiblingLink, type Verdict as Judgement } from '#mesh/sibling-link.ts'
import { Outbox } from '#relay/outbox.ts'
import { Counters } from '#relay/counters.ts'
import type { AddressedPacket } from '#relay/ports.ts'
import { actor, alice, bob, type Actor } from '../support/actor.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { sha256 } from '../vectors/hex.ts'
import { meshKey } from '../vectors/keys.ts'

const KEYS_MAX = 5
const [self, other] = [actor('self'), actor('other')]

class Play {
  readonly clock = new FakeClock()
  readonly book = new RouteBook(1, () => undefined)
  readonly link: SiblingLink
  /** What the link wrote since the last look, by frames. */
  readonly written: { type: number; payload: Buffer }[] = []
  dials = 0
  cuts = 0
  isStalled = false
  judgement: Judgement = 'welcome'
  #handler: DialHandler | undefined = undefined
  #due: (() => void)[] = []

  constructor({ isInside = true, isWatched = true } = {}) {
    const pool = new BufferPool()
    const counters = new Counters()
    const address = { name: 'other', host: 'other.lab', port: 443, dialHost: undefined, certName: undefined }
    this.link = new SiblingLink(
      { ...address, isInside, isWatched, nodes: ['other'] },
      {
        owner: { judge: () => this.judgement, changed: () => undefined },
        identity: { publicKey: self.key, secret: new BoxSecret(self.privateKey) },
        meshKey: () => meshKey,
        dial: (_address, handler) => this.#dial(handler),
        book: this.book,
        makeOutbox: () =>
          Outbox.forSibling({
            pool,
            counters,
            limits: { outboxBytesMax: 100_000, outboxPacketsMax: Infinity },
          }),
        keysMax: KEYS_MAX,
        now: this.clock.now,
        random: (bytes) => sha256('random').subarray(0, bytes),
        later: this.clock.later,
        flushSoon: (one) => this.#due.push(() => one.flush()),
      },
    )
    this.link.open()
  }

  /** The sibling shows its key; what it is told in answer. */
  meet(): { info: ClientInfo; frames: number[] } {
    const greeting = this.#handler?.greet(other.key) ?? new Uint8Array(0)
    this.#read(Buffer.from(greeting))
    const [login, ...more] = this.written.splice(0)
    const info = openClientInfo(login?.payload ?? Buffer.alloc(0), other.boxWith(self))
    if (typeof info === 'string') throw new Error(info)
    return { info, frames: more.map(({ type }) => type) }
  }

  /** It has logged in and is told of these. */
  up(...present: Actor[]): this {
    this.meet()
    this.say(serverInfoFrame(other.boxWith(self), sha256('nonce').subarray(0, 24)))
    for (const who of [self, ...present]) this.present(who.key)
    this.turn()
    return this
  }

  present(key: Uint8Array): void {
    this.say(peerPresentFrame({ key, ip: new Uint8Array(16), port: 0, flags: 0, appName: undefined }))
  }

  say(frame: Uint8Array): void {
    const buffer = Buffer.from(frame)
    this.#handler?.onFrame(buffer[0] ?? 0, buffer, 5, buffer.length)
  }

  end(why: string): void {
    this.#handler?.onClosed(why)
  }

  turn(): void {
    for (const flush of this.#due.splice(0)) flush()
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 500) {
      this.clock.advance(Math.min(left, 500))
      this.link.sweep(this.clock.now())
      this.turn()
    }
  }

  knows(who: Actor): boolean {
    return this.book.find(who.key, 0) === this.link
  }

  #dial(handler: DialHandler): Connection {
    this.dials++
    this.#handler = handler
    return {
      write: (bytes, isLast) => {
        this.#read(Buffer.from(bytes))
        if (isLast && !this.isStalled) this.#due.push(() => handler.written())
        return false
      },
      destroy: () => {
        this.cuts++
        this.end('cut')
      },
    }
  }

  #read(bytes: Buffer): void {
    const sink = {
      onHeader: () => Verdict.take,
      onFrame: (type: number, buffer: Buffer, start: number, end: number) => {
        this.written.push({ type, payload: Buffer.from(buffer.subarray(start, end)) })
        return true
      },
    }
    new FrameReader(sink, new BufferPool()).feed(bytes, 0, bytes.length)
  }
}

function addressed(to: Actor, bytes: number): AddressedPacket {
  const buffer = Buffer.concat([to.key, Buffer.alloc(bytes)])
  return { buffer, start: 0, packetAt: 32, end: buffer.length, kind: 0 }
}

it('logs in with the mesh key as derper does, and watches in the same breath', () => {
  const { info, frames } = new Play().meet()
  expect(info).toEqual({
    meshKey: Uint8Array.from(meshKey),
    version: 2,
    canAckPings: false,
    isProber: false,
    appName: '',
    wantsHomesOnly: false,
  })
  expect(frames).toEqual([FrameType.watchConns])
})

it('asks a sibling of another region for home keys alone, and one that is not watched for none', () => {
  expect(new Play({ isInside: false }).meet()).toMatchObject({
    info: { wantsHomesOnly: true },
    frames: [FrameType.watchConns],
  })
  const lazy = new Play({ isInside: false, isWatched: false })
  expect([lazy.link.state, lazy.dials]).toEqual(['idle', 0])
  lazy.link.wake()
  expect(lazy.meet().frames).toEqual([FrameType.ping])
})

it('is up when it is told that itself is there, and knows who else is', () => {
  const play = new Play().up(alice)
  expect([play.link.state, play.knows(alice), play.knows(bob), play.knows(self)]).toEqual([
    'up',
    true,
    false,
    false,
  ])
})

it.each([
  ['has left', GoneReason.disconnected],
  ['is not there', GoneReason.notHere],
])('forgets a key that the sibling says %s', (_what, reason) => {
  const play = new Play().up(alice, bob)
  play.say(peerGoneFrame(alice.key, reason))
  expect([play.knows(alice), play.knows(bob)]).toEqual([false, true])
})

it('hands over packets with source and destination, in their order', () => {
  const play = new Play().up(alice)
  play.written.length = 0
  for (let i = 1; i <= 3; i++) play.link.forward(addressed(alice, i), bob.key, play.clock.now())
  play.turn()
  const forwarded = play.written.filter(({ type }) => type === FrameType.forwardPacket)
  expect(forwarded.map(({ payload }) => payload)).toEqual(
    [1, 2, 3].map((i) => Buffer.concat([bob.key, alice.key, Buffer.alloc(i)])),
  )
})

it('takes no more keys of a sibling than it may have, in any form that presence ever had', () => {
  const play = new Play().up()
  for (let i = 0; i < 100; i++) play.present(sha256(`key ${i}`))
  expect(play.link.report()).toMatchObject({ keys: KEYS_MAX, keysRefused: 100 - KEYS_MAX })
  expect(play.book.size).toBe(KEYS_MAX)
  const old = new Play().up()
  for (const bytes of [32, 50, 51, 200]) {
    const frame = Buffer.alloc(5 + bytes)
    frame[0] = FrameType.peerPresent
    sha256(`of ${bytes} bytes`).copy(frame, 5)
    old.say(frame)
  }
  expect(old.link.report().keys).toBe(4)
})

it('a sibling that says it has a key and has it not loses it to the one that has', () => {
  const truth = { rank: 1, forward: () => undefined }
  const play = new Play().up()
  play.book.add(alice.key, 0, truth)
  for (let lies = 0; lies < 3; lies++) {
    play.present(alice.key)
    expect(play.knows(alice)).toBe(true)
    play.link.forward(addressed(alice, 1), bob.key, play.clock.now())
    play.turn()
    play.say(peerGoneFrame(alice.key, GoneReason.notHere))
    expect(play.book.find(alice.key, 0)).toBe(truth)
  }
})

it('keeps nothing of a flood of keys that come and go, in whatever order that is told', () => {
  const play = new Play().up()
  for (let i = 0; i < 20_000; i++) {
    const key = sha256(`key ${i % 4}`)
    if (i % 3 === 0) play.present(key)
    else play.say(peerGoneFrame(key, i % 2 === 0 ? GoneReason.disconnected : GoneReason.notHere))
  }
  for (let i = 0; i < 4; i++) play.say(peerGoneFrame(sha256(`key ${i}`), GoneReason.disconnected))
  expect(play.link.report()).toMatchObject({ state: 'up', keys: 0, keysRefused: 0 })
  expect([play.book.size, play.cuts]).toEqual([0, 0])
})

it.each([
  ['a presence without a key', FrameType.peerPresent],
  ['a departure without a key', FrameType.peerGone],
])('cuts a sibling that sends %s', (_what, type) => {
  const play = new Play().up(alice)
  play.say(Buffer.from([type, 0, 0, 0, 3, 1, 2, 3]))
  expect([play.cuts, play.knows(alice)]).toEqual([1, false])
})

it('cuts a sibling whose ServerInfo was not made for it', () => {
  const play = new Play()
  play.meet()
  play.say(serverInfoFrame(other.boxWith(alice), sha256('nonce').subarray(0, 24)))
  expect(play.cuts).toBe(1)
})

it.each(['self', 'twin'] as const)('tells nothing to a relay that turns out to be its %s', (judgement) => {
  const play = new Play()
  play.judgement = judgement
  expect(() => play.meet()).toThrow()
  expect(play.link.state).toBe(judgement)
  play.end('no use')
  play.pass(60_000)
  expect(play.dials).toBe(judgement === 'self' ? 1 : 2)
})

it('tries again soon, then more and more rarely, but never less than every six seconds', () => {
  const play = new Play()
  const gaps: number[] = []
  for (let tries = 1; tries < 12; tries++) {
    play.end('connection refused')
    const from = play.clock.now()
    while (play.dials === tries) play.clock.advance(50)
    gaps.push(play.clock.now() - from)
  }
  expect(gaps[0]).toBeLessThan(700)
  expect(gaps.every((gap, i) => gap >= (gaps[i - 1] ?? 0) * 0.9)).toBe(true)
  expect(Math.max(...gaps)).toBeLessThan(6_300)
})

it('cuts a sibling that takes no bytes for five seconds, and drops what waited', () => {
  const play = new Play().up(alice)
  play.isStalled = true
  play.link.forward(addressed(alice, 100), bob.key, play.clock.now())
  play.turn()
  for (let i = 0; i < 10; i++) play.link.forward(addressed(alice, 100), bob.key, play.clock.now())
  play.pass(4_500)
  expect(play.cuts).toBe(0)
  play.pass(1_500)
  expect(play.cuts).toBe(1)
  expect(play.link.report()).toMatchObject({ state: 'waiting', waitingBytes: 0, dropped: 10, keys: 0 })
})

it('cuts a sibling that answers no pings, and measures one that does', () => {
  const silent = new Play().up()
  silent.pass(17_500)
  expect(silent.cuts).toBe(1)
  const play = new Play().up()
  let answers = 0
  while (answers < 40) {
    play.pass(500)
    for (const { type, payload } of play.written.splice(0)) {
      if (type !== FrameType.ping) continue
      play.clock.advance(answers++ % 2 === 0 ? 20 : 40)
      play.say(pongFrame(payload))
    }
  }
  expect(play.cuts).toBe(0)
  const { rttMs, jitterMs, lossRatio } = play.link.report()
  expect([rttMs, jitterMs, lossRatio]).toEqual([expect.closeTo(30, -1), expect.closeTo(15, -1), 0])
})

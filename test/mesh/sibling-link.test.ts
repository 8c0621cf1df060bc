// One link to a sibling that the test plays: what it is told, what it may do, and how it may misbehave.

import { expect, it } from 'vitest'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { MESH_KEY_REFUSED_FRAME, peerGoneFrame, peerPresentFrame, pongFrame } from '#protocol/frames.ts'
import { serverInfoFrame } from '#protocol/handshake.ts'
import { alice, bob } from '../support/actor.ts'
import { addressed, KEYS_MAX, other, self, SiblingPlay } from '../support/sibling-play.ts'
import { sha256 } from '../vectors/hex.ts'
import { meshKey } from '../vectors/keys.ts'

it('logs in with the mesh key as derper does, and watches in the same breath', () => {
  const { info, frames } = new SiblingPlay().meet()
  expect(info).toEqual({
    meshKey: Uint8Array.from(meshKey),
    version: 2,
    canAckPings: false,
    isProber: false,
    appName: '',
    wantsHomesOnly: false,
    wantsInstance: true,
  })
  expect(frames).toEqual([FrameType.watchConns, FrameType.ping])
})

it('asks a sibling of another region for home keys alone, and one that is not watched for none', () => {
  expect(new SiblingPlay({ isInside: false }).meet()).toMatchObject({
    info: { wantsHomesOnly: true },
    frames: [FrameType.watchConns, FrameType.ping],
  })
  const lazy = new SiblingPlay({ isInside: false, isWatched: false })
  expect([lazy.link.state, lazy.dials]).toEqual(['idle', 0])
  lazy.link.wake()
  // Nobody's sessions are closed: a frame that ends the session of who is no sibling, before the ping is answered.
  expect(lazy.meet().frames).toEqual([FrameType.closePeer, FrameType.ping])
})

it('is up when it is told that itself is there, and knows who else is', () => {
  const play = new SiblingPlay().up(alice)
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
  const play = new SiblingPlay().up(alice, bob)
  play.say(peerGoneFrame(alice.key, reason))
  expect([play.knows(alice), play.knows(bob)]).toEqual([false, true])
})

it('hands over packets with source and destination, in their order', () => {
  const play = new SiblingPlay().up(alice)
  play.written.length = 0
  for (let i = 1; i <= 3; i++) play.link.forward(addressed(alice, i), bob.key, play.clock.now())
  play.turn()
  const forwarded = play.written.filter(({ type }) => type === FrameType.forwardPacket)
  expect(forwarded.map(({ payload }) => payload)).toEqual(
    [1, 2, 3].map((i) => Buffer.concat([bob.key, alice.key, Buffer.alloc(i)])),
  )
})

it('takes no more keys of a sibling than it may have, in any form that presence ever had', () => {
  const play = new SiblingPlay().up()
  for (let i = 0; i < 100; i++) play.present(sha256(`key ${i}`))
  expect(play.link.report()).toMatchObject({ keys: KEYS_MAX, keysRefused: 100 - KEYS_MAX })
  expect(play.routeTable.size).toBe(KEYS_MAX)
  const old = new SiblingPlay().up()
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
  const play = new SiblingPlay().up()
  play.routeTable.add(alice.key, 0, truth)
  for (let lies = 0; lies < 3; lies++) {
    play.present(alice.key)
    expect(play.knows(alice)).toBe(true)
    play.link.forward(addressed(alice, 1), bob.key, play.clock.now())
    play.turn()
    play.say(peerGoneFrame(alice.key, GoneReason.notHere))
    expect(play.routeTable.find(alice.key, 0)).toBe(truth)
  }
})

it('keeps nothing of a flood of keys that come and go, in whatever order that is told', () => {
  const play = new SiblingPlay().up()
  for (let i = 0; i < 20_000; i++) {
    const key = sha256(`key ${i % 4}`)
    if (i % 3 === 0) play.present(key)
    else play.say(peerGoneFrame(key, i % 2 === 0 ? GoneReason.disconnected : GoneReason.notHere))
  }
  for (let i = 0; i < 4; i++) play.say(peerGoneFrame(sha256(`key ${i}`), GoneReason.disconnected))
  expect(play.link.report()).toMatchObject({ state: 'up', keys: 0, keysRefused: 0 })
  expect([play.routeTable.size, play.cuts]).toEqual([0, 0])
})

it.each([
  ['a presence without a key', FrameType.peerPresent],
  ['a departure without a key', FrameType.peerGone],
])('cuts a sibling that sends %s', (_what, type) => {
  const play = new SiblingPlay().up(alice)
  play.say(Buffer.from([type, 0, 0, 0, 3, 1, 2, 3]))
  expect([play.cuts, play.knows(alice)]).toEqual([1, false])
})

it('cuts a sibling whose ServerInfo was not made for it', () => {
  const play = new SiblingPlay()
  play.meet()
  play.say(serverInfoFrame(other.boxWith(alice), sha256('nonce').subarray(0, 24)))
  expect(play.cuts).toBe(1)
})

it.each([
  ['self', 0, 0],
  ['alias', 1, 2],
  ['copied', 9, 13],
] as const)(
  'tells a relay that turns out to be its %s no more than it takes to find that out',
  (state, min, max) => {
    const play = new SiblingPlay()
    play.recognition = { state, why: 'for a reason' }
    let met = 0
    for (let seconds = 0; seconds < 65; seconds++) {
      play.pass(1_000)
      if (play.dials === met) continue
      met = play.dials
      expect(play.meet().frames).toEqual([FrameType.closePeer, FrameType.ping])
      play.present(alice.key)
      play.prove()
      expect([play.link.state, play.link.why, play.knows(alice)]).toEqual([state, 'for a reason', false])
    }
    expect(play.dials - 1).toBeGreaterThanOrEqual(min)
    expect(play.dials - 1).toBeLessThanOrEqual(max)
  },
)

it.each([
  ['of this region', true, true],
  ['of another region without a home client', false, true],
  ['that is not watched', false, false],
])(
  'is up with a sibling %s when the greeting is answered, and has measured the way at once',
  (_what, isInside, isWatched) => {
    const play = new SiblingPlay({ isInside, isWatched })
    play.link.wake()
    play.up()
    expect(play.link.report()).toMatchObject({ state: 'up', isTried: true, why: '', rttMs: undefined })
    play.written.length = 0
    play.pass(500)
    play.clock.advance(20)
    for (const { type, payload } of play.written) if (type === FrameType.ping) play.say(pongFrame(payload))
    expect(play.link.report()).toMatchObject({ rttMs: 20, lossRatio: 0 })
  },
)

it('is not up with who answers without having shown that it holds its key', () => {
  const play = new SiblingPlay()
  const [ping] = play.meet().pings
  play.say(pongFrame(ping ?? Buffer.alloc(8)))
  expect([play.link.state, play.link.why, play.cuts]).toEqual(['waiting', 'has not proven its key', 1])
})

it('gives a sibling up that says nothing more after its key, within 18 seconds', () => {
  const play = new SiblingPlay()
  play.meet()
  play.pass(18_000)
  expect(play.cuts).toBe(1)
  expect(play.link.why).toBe('answers no pings')
})

it.each([
  ['says so', true, "did not accept this relay's mesh key"],
  [
    'only ends the connection',
    false,
    'closed the connection at login, as a relay with another mesh key does (ended)',
  ],
])('knows that its mesh key was not accepted from a sibling that %s', (_what, isTold, why) => {
  const play = new SiblingPlay()
  play.meet()
  play.prove()
  if (isTold) play.say(MESH_KEY_REFUSED_FRAME)
  play.end('ended')
  expect(play.link).toMatchObject({ state: 'waiting', why })
})

it('that is wanted while it waits to be dialled again is dialled once, at once', () => {
  const play = new SiblingPlay()
  play.end('connection refused')
  play.clock.advance(100)
  for (let times = 0; times < 10; times++) play.link.wake()
  // So soon after the last attempt it keeps to its time.
  expect(play.dials).toBe(1)
  for (let tries = 1; tries < 5; tries++) {
    while (play.dials === tries) play.clock.advance(50)
    play.end('connection refused')
  }
  play.clock.advance(1_000)
  for (let times = 0; times < 10; times++) play.link.wake()
  expect(play.dials).toBe(6)
  play.clock.advance(30_000)
  expect(play.dials).toBe(6)
})

it('that was dialled before its time has one time to be dialled again, and not the old one too', () => {
  const play = new SiblingPlay()
  for (let tries = 1; tries < 7; tries++) {
    play.end('connection refused')
    while (play.dials === tries) play.clock.advance(50)
  }
  // From here on it is five seconds and up to a quarter more.
  play.end('connection refused')
  play.clock.advance(4_500)
  play.link.wake()
  expect(play.dials).toBe(8)
  play.end('connection refused')
  play.clock.advance(4_900)
  expect(play.dials).toBe(8)
  play.clock.advance(1_500)
  expect(play.dials).toBe(9)
})

it('takes no notice of a connection that it has no more', () => {
  const play = new SiblingPlay().up(alice)
  const old = play.handler
  play.end('connection reset')
  while (play.dials === 1) play.clock.advance(50)
  play.up(bob)
  old?.onClosed('connection reset')
  old?.written()
  const present = Buffer.from(
    peerPresentFrame({ key: alice.key, ip: new Uint8Array(16), port: 0, flags: 0, appName: undefined }),
  )
  old?.onFrame(FrameType.peerPresent, present, 5, present.length)
  expect(old?.greet(other.key)).toBeUndefined()
  play.clock.advance(30_000)
  expect([play.link.state, play.dials, play.knows(alice), play.knows(bob)]).toEqual(['up', 2, false, true])
})

it.each([
  ['waits', (play: SiblingPlay) => play.end('connection refused'), 0],
  ['dials', () => undefined, 1],
  ['has greeted', (play: SiblingPlay) => void play.meet(), 1],
  ['is up', (play: SiblingPlay) => void play.up(alice), 1],
])(
  'that is closed while it %s leaves no connection, knows nobody and never dials again',
  (_what, prepare, cuts) => {
    const play = new SiblingPlay()
    prepare(play)
    play.link.close()
    expect([play.cuts, play.link.isOver, play.routeTable.size]).toEqual([cuts, true, 0])
    play.link.wake()
    play.link.forward(addressed(alice, 100), bob.key, play.clock.now())
    play.present(alice.key)
    play.pass(60_000)
    expect([play.dials, play.routeTable.size, play.link.report().dropped]).toEqual([1, 0, 0])
  },
)

it('tries again soon, then more and more rarely, but never less than every six seconds', () => {
  const play = new SiblingPlay()
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
  const play = new SiblingPlay().up(alice)
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

it.each([true, false])(
  'a sibling that is cut off without a word is noticed within 18 seconds, inside the region: %s',
  (isInside) => {
    const play = new SiblingPlay({ isInside }).up()
    play.pass(18_000)
    expect(play.cuts).toBe(1)
  },
)

it('measures a sibling that answers pings', () => {
  const play = new SiblingPlay().up()
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

// One sibling link with a fake sibling: login, presence, forwarding, redialling, and a sibling that misbehaves.

import { expect, it } from 'vitest'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import {
  MESH_KEY_REFUSED_FRAME,
  peerGoneFrame,
  peerPresentFrame,
  pongFrame,
  relayStateFrame,
  restartingFrame,
} from '#protocol/frames.ts'
import { serverInfoFrame } from '#protocol/handshake.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { alice, bob } from '../support/actor.ts'
import { addressed, KEYS_MAX, other, self, FakeSibling } from '../support/fake-sibling.ts'
import { sha256 } from '../vectors/hex.ts'
import { meshKey } from '../vectors/keys.ts'

it('logs in with the mesh key as derper does, and subscribes to presence in the same write', () => {
  const { info, frames } = new FakeSibling().greet()
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

it('asks a sibling of another region for home keys only, and an unwatched sibling for none', () => {
  expect(new FakeSibling({ isInside: false }).greet()).toMatchObject({
    info: { wantsHomesOnly: true },
    frames: [FrameType.watchConns, FrameType.ping],
  })
  const unwatched = new FakeSibling({ isInside: false, isWatched: false })
  expect([unwatched.link.state, unwatched.dials]).toEqual(['idle', 0])
  unwatched.link.wake()
  // ClosePeer of no peer: it ends the session, before the ping is answered, if the mesh key was not accepted.
  expect(unwatched.greet().frames).toEqual([FrameType.closePeer, FrameType.ping])
})

it('is up when the sibling reports this relay, and has the routes that the sibling reports', () => {
  const sibling = new FakeSibling().up(alice)
  expect([
    sibling.link.state,
    sibling.hasRouteTo(alice),
    sibling.hasRouteTo(bob),
    sibling.hasRouteTo(self),
  ]).toEqual(['up', true, false, false])
})

it.each([
  ['has left', GoneReason.disconnected],
  ['is not there', GoneReason.notHere],
])('removes a route when the sibling says that the key %s', (_name, reason) => {
  const sibling = new FakeSibling().up(alice, bob)
  sibling.send(peerGoneFrame(alice.key, reason))
  expect([sibling.hasRouteTo(alice), sibling.hasRouteTo(bob)]).toEqual([false, true])
})

it('forwards packets with source and destination, in order', () => {
  const sibling = new FakeSibling().up(alice)
  sibling.written.length = 0
  for (let i = 1; i <= 3; i++) sibling.link.forward(addressed(alice, i), bob.key, sibling.clock.now())
  sibling.turn()
  const forwarded = sibling.written.filter(({ type }) => type === FrameType.forwardPacket)
  expect(forwarded.map(({ payload }) => payload)).toEqual(
    [1, 2, 3].map((i) => Buffer.concat([bob.key, alice.key, Buffer.alloc(i)])),
  )
})

it('accepts keys up to the limit, from every version of PeerPresent', () => {
  const sibling = new FakeSibling().up()
  for (let i = 0; i < 100; i++) sibling.present(sha256(`key ${i}`))
  expect(sibling.link.report()).toMatchObject({ keys: KEYS_MAX, keysRefused: 100 - KEYS_MAX })
  expect(sibling.routeTable.size).toBe(KEYS_MAX)
  const old = new FakeSibling().up()
  for (const bytes of [32, 50, 51, 200]) {
    const frame = Buffer.alloc(5 + bytes)
    frame[0] = FrameType.peerPresent
    sha256(`of ${bytes} bytes`).copy(frame, 5)
    old.send(frame)
  }
  expect(old.link.report().keys).toBe(4)
})

it('a sibling that falsely reports a key loses the route to the sibling that has the key', () => {
  const owner = { rank: 1, isDraining: false, forward: () => undefined }
  const sibling = new FakeSibling().up()
  sibling.routeTable.add(alice.key, 0, owner)
  for (let attempt = 0; attempt < 3; attempt++) {
    sibling.present(alice.key)
    expect(sibling.hasRouteTo(alice)).toBe(true)
    sibling.link.forward(addressed(alice, 1), bob.key, sibling.clock.now())
    sibling.turn()
    sibling.send(peerGoneFrame(alice.key, GoneReason.notHere))
    expect(sibling.routeTable.find(alice.key, 0)).toBe(owner)
  }
})

it('keeps no routes after a flood of PeerPresent and PeerGone in any order', () => {
  const sibling = new FakeSibling().up()
  for (let i = 0; i < 20_000; i++) {
    const key = sha256(`key ${i % 4}`)
    if (i % 3 === 0) sibling.present(key)
    else sibling.send(peerGoneFrame(key, i % 2 === 0 ? GoneReason.disconnected : GoneReason.notHere))
  }
  for (let i = 0; i < 4; i++) sibling.send(peerGoneFrame(sha256(`key ${i}`), GoneReason.disconnected))
  expect(sibling.link.report()).toMatchObject({ state: 'up', keys: 0, keysRefused: 0 })
  expect([sibling.routeTable.size, sibling.cuts]).toEqual([0, 0])
})

it.each([
  ['PeerPresent', FrameType.peerPresent],
  ['PeerGone', FrameType.peerGone],
])('ends the connection after %s without a key', (_name, type) => {
  const sibling = new FakeSibling().up(alice)
  sibling.send(Buffer.from([type, 0, 0, 0, 3, 1, 2, 3]))
  expect([sibling.cuts, sibling.hasRouteTo(alice)]).toEqual([1, false])
})

it('ends the connection after a ServerInfo that was made for another relay', () => {
  const sibling = new FakeSibling()
  sibling.greet()
  sibling.send(serverInfoFrame(other.boxWith(alice), sha256('nonce').subarray(0, 24)))
  expect(sibling.cuts).toBe(1)
})

it.each([
  ['self', 0, 0],
  ['alias', 1, 2],
  ['copied', 9, 13],
] as const)(
  'sends only the login to a sibling that is %s, and dials it at its interval',
  (state, min, max) => {
    const sibling = new FakeSibling()
    sibling.duplicate = { state, why: 'for a reason' }
    let greeted = 0
    for (let seconds = 0; seconds < 65; seconds++) {
      sibling.pass(1_000)
      if (sibling.dials === greeted) continue
      greeted = sibling.dials
      expect(sibling.greet().frames).toEqual([FrameType.closePeer, FrameType.ping])
      sibling.present(alice.key)
      sibling.prove()
      expect([sibling.link.state, sibling.link.why, sibling.hasRouteTo(alice)]).toEqual([
        state,
        'for a reason',
        false,
      ])
    }
    expect(sibling.dials - 1).toBeGreaterThanOrEqual(min)
    expect(sibling.dials - 1).toBeLessThanOrEqual(max)
  },
)

it.each([
  ['of this region', true, true],
  ['of another region that has no home clients', false, true],
  ['that is not watched', false, false],
])(
  'is up with a sibling %s when the first ping is answered, and measures the round trip at once',
  (_name, isInside, isWatched) => {
    const sibling = new FakeSibling({ isInside, isWatched })
    sibling.link.wake()
    sibling.up()
    expect(sibling.link.report()).toMatchObject({ state: 'up', isTried: true, why: '', rttMs: undefined })
    sibling.written.length = 0
    sibling.pass(500)
    sibling.clock.advance(20)
    for (const { type, payload } of sibling.written)
      if (type === FrameType.ping) sibling.send(pongFrame(payload))
    expect(sibling.link.report()).toMatchObject({ rttMs: 20, lossRatio: 0 })
  },
)

it('ends the connection of a sibling that answers without having proven its key', () => {
  const sibling = new FakeSibling()
  const [ping] = sibling.greet().pings
  sibling.send(pongFrame(ping ?? Buffer.alloc(8)))
  expect([sibling.link.state, sibling.link.why, sibling.cuts]).toEqual([
    'waiting',
    'has not proven its key',
    1,
  ])
})

it('ends the connection of a sibling that sends nothing after its key, within 18 seconds', () => {
  const sibling = new FakeSibling()
  sibling.greet()
  sibling.pass(18_000)
  expect(sibling.cuts).toBe(1)
  expect(sibling.link.why).toBe('answers no pings')
})

it.each([
  ['says so', true, "did not accept this relay's mesh key"],
  [
    'only ends the connection',
    false,
    'closed the connection at login, as a relay with another mesh key does (ended)',
  ],
])('reports that its mesh key was not accepted by a sibling that %s', (_name, isTold, why) => {
  const sibling = new FakeSibling()
  sibling.greet()
  sibling.prove()
  if (isTold) sibling.send(MESH_KEY_REFUSED_FRAME)
  sibling.end('ended')
  expect(sibling.link).toMatchObject({ state: 'waiting', why })
})

it('wake dials once, at once, while the next attempt is due later', () => {
  const sibling = new FakeSibling()
  sibling.end('connection refused')
  sibling.clock.advance(100)
  for (let times = 0; times < 10; times++) sibling.link.wake()
  // Too soon after the last attempt: the next one stays when it was due.
  expect(sibling.dials).toBe(1)
  for (let attempts = 1; attempts < 5; attempts++) {
    while (sibling.dials === attempts) sibling.clock.advance(50)
    sibling.end('connection refused')
  }
  sibling.clock.advance(1_000)
  for (let times = 0; times < 10; times++) sibling.link.wake()
  expect(sibling.dials).toBe(6)
  sibling.clock.advance(30_000)
  expect(sibling.dials).toBe(6)
})

it('wake replaces the attempt that was due', () => {
  const sibling = new FakeSibling()
  for (let attempts = 1; attempts < 7; attempts++) {
    sibling.end('connection refused')
    while (sibling.dials === attempts) sibling.clock.advance(50)
  }
  // From now on the delay is five seconds and up to a quarter more.
  sibling.end('connection refused')
  sibling.clock.advance(4_500)
  sibling.link.wake()
  expect(sibling.dials).toBe(8)
  sibling.end('connection refused')
  sibling.clock.advance(4_900)
  expect(sibling.dials).toBe(8)
  sibling.clock.advance(1_500)
  expect(sibling.dials).toBe(9)
})

it('ignores calls from a former connection', () => {
  const sibling = new FakeSibling().up(alice)
  const old = sibling.handler
  sibling.end('connection reset')
  while (sibling.dials === 1) sibling.clock.advance(50)
  sibling.up(bob)
  old?.onClosed('connection reset')
  old?.written()
  const present = Buffer.from(
    peerPresentFrame({ key: alice.key, ip: new Uint8Array(16), port: 0, flags: 0, appName: undefined }),
  )
  old?.onFrame(FrameType.peerPresent, present, 5, present.length)
  expect(old?.greet(other.key)).toBeUndefined()
  sibling.clock.advance(30_000)
  expect([sibling.link.state, sibling.dials, sibling.hasRouteTo(alice), sibling.hasRouteTo(bob)]).toEqual([
    'up',
    2,
    false,
    true,
  ])
})

it.each([
  ['waiting', (sibling: FakeSibling) => sibling.end('connection refused'), 0],
  ['dialling', () => undefined, 1],
  ['greeted', (sibling: FakeSibling) => void sibling.greet(), 1],
  ['up', (sibling: FakeSibling) => void sibling.up(alice), 1],
])('closed while it is %s, has no connection and no routes and never dials again', (_name, prepare, cuts) => {
  const sibling = new FakeSibling()
  prepare(sibling)
  sibling.link.close()
  expect([sibling.cuts, sibling.link.isOver, sibling.routeTable.size]).toEqual([cuts, true, 0])
  sibling.link.wake()
  sibling.link.forward(addressed(alice, 100), bob.key, sibling.clock.now())
  sibling.present(alice.key)
  sibling.pass(60_000)
  expect([sibling.dials, sibling.routeTable.size, sibling.link.report().dropped]).toEqual([1, 0, 0])
})

it('dials again soon, then less and less often, but at least every 6.3 seconds', () => {
  const sibling = new FakeSibling()
  const gaps: number[] = []
  for (let attempts = 1; attempts < 12; attempts++) {
    sibling.end('connection refused')
    const from = sibling.clock.now()
    while (sibling.dials === attempts) sibling.clock.advance(50)
    gaps.push(sibling.clock.now() - from)
  }
  expect(gaps[0]).toBeLessThan(700)
  expect(gaps.every((gap, i) => gap >= (gaps[i - 1] ?? 0) * 0.9)).toBe(true)
  expect(Math.max(...gaps)).toBeLessThan(6_300)
})

it('ends the connection of a sibling that reads no bytes for five seconds, and drops the queue', () => {
  const sibling = new FakeSibling().up(alice)
  sibling.isStalled = true
  sibling.link.forward(addressed(alice, 100), bob.key, sibling.clock.now())
  sibling.turn()
  for (let i = 0; i < 10; i++) sibling.link.forward(addressed(alice, 100), bob.key, sibling.clock.now())
  sibling.pass(4_500)
  expect(sibling.cuts).toBe(0)
  sibling.pass(1_500)
  expect(sibling.cuts).toBe(1)
  expect(sibling.link.report()).toMatchObject({ state: 'waiting', waitingBytes: 0, dropped: 10, keys: 0 })
})

it.each([true, false])(
  'ends the connection of a sibling that has gone silent within 18 seconds, same region: %s',
  (isInside) => {
    const sibling = new FakeSibling({ isInside }).up()
    sibling.pass(18_000)
    expect(sibling.cuts).toBe(1)
  },
)

it('measures round trip, jitter and loss by pings', () => {
  const sibling = new FakeSibling().up()
  let answers = 0
  while (answers < 40) {
    sibling.pass(500)
    for (const { type, payload } of sibling.written.splice(0)) {
      if (type !== FrameType.ping) continue
      sibling.clock.advance(answers++ % 2 === 0 ? 20 : 40)
      sibling.send(pongFrame(payload))
    }
  }
  expect(sibling.cuts).toBe(0)
  const { rttMs, jitterMs, lossRatio } = sibling.link.report()
  expect([rttMs, jitterMs, lossRatio]).toEqual([expect.closeTo(30, -1), expect.closeTo(15, -1), 0])
})

it('reads how long a sibling drains, in bounds, until the connection ends; nobody is sent to it meanwhile', () => {
  const sibling = new FakeSibling().up()
  sibling.pass(11_000)
  sibling.send(restartingFrame(1, 0).subarray(0, 12))
  expect([sibling.drains, sibling.link.isDraining]).toEqual([[], false])
  expect(sibling.link.isSettled(sibling.clock.now())).toBe(true)
  sibling.send(restartingFrame(8_200, 0))
  sibling.send(restartingFrame(0xffff_ffff, 0))
  expect(sibling.drains).toEqual([8_200, 3_600_000])
  expect([sibling.link.isDraining, sibling.link.isSettled(sibling.clock.now())]).toEqual([true, false])
  sibling.end('closed')
  expect(sibling.link.isDraining).toBe(false)
})

it('dials a sibling that drained at once when the connection ends: another run of it may serve already', () => {
  const sibling = new FakeSibling().up()
  sibling.send(restartingFrame(8_200, 0))
  const { dials } = sibling
  sibling.end('closed')
  sibling.pass(1)
  expect(sibling.dials).toBe(dials + 1)
})

it('sends clients to a sibling again that says that its drain, or that of another run of it, is over', () => {
  const sibling = new FakeSibling().up()
  sibling.send(restartingFrame(60_000, 0))
  sibling.pass(11_000)
  expect([sibling.link.isDraining, sibling.link.isSettled(sibling.clock.now())]).toEqual([true, false])
  sibling.send(restartingFrame(0, 0))
  expect([sibling.link.isDraining, sibling.link.isSettled(sibling.clock.now())]).toEqual([false, true])
})

it('expects no clients back that left a sibling which is not watched: the directory says where they are', () => {
  const sibling = new FakeSibling({ isInside: false, isWatched: false })
  sibling.link.wake()
  sibling.up()
  sibling.send(restartingFrame(8_200, 0))
  expect([sibling.drains, sibling.link.isDraining]).toEqual([[], false])
})

it('tells its state over a link that is up, and reports whom it has told', () => {
  const sibling = new FakeSibling()
  sibling.link.tellState(relayStateFrame(Buffer.from('early')))
  sibling.up()
  sibling.written.length = 0
  sibling.link.tellState(relayStateFrame(Buffer.from('now')))
  sibling.turn()
  const told = sibling.written.filter(({ type }) => type === FrameType.relayState)
  expect(told.map(({ payload }) => payload.toString())).toEqual(['now'])
  expect(sibling.link.report()).toMatchObject({ key: publicKeyText(other.key), instance: undefined })
  sibling.end('closed')
  expect(sibling.link.report().key).toBeUndefined()
})

import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { KEEP_ALIVE_FRAME, notePreferredFrame, pingFrame } from '#protocol/frames.ts'
import { frame } from '#protocol/handshake.ts'
import { EndReason } from '#relay/end-reason.ts'
import { actor, alice, bob, cathy, sibling } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { undecided } from '../support/undecided-relay.ts'
import { frames, packet } from '../vectors/frames.ts'
import * as login from '../vectors/login.ts'

// ── login and admission ──

it('ServerKey is sent before anything is received, 45 bytes', () => {
  const client = new TestRelay().connect(alice)
  expect(client.take()).toEqual(['ServerKey server'])
  expect(toHex(Buffer.concat(client.received))).toBe(toHex(login.serverKeyFrame))
})

it('the HTTP answer, if it was asked for, precedes ServerKey, to the byte', () => {
  const client = new TestRelay().connect(alice, { wantsAnswer: true })
  expect(client.take()).toEqual(['ServerKey server'])
  expect(client.httpAnswer).toBe(login.switchingProtocols)
  expect(client.logIn().take()).toEqual(['ServerInfo version 2'])
})

it('ServerInfo says what derper says, with a new nonce each time', () => {
  const relay = new TestRelay()
  const nonces = [1, 2].map(() => {
    const client = relay.connect(alice)
    client.send(login.clientInfo.frame).settled()
    const payload = Buffer.concat(client.received).subarray(45 + 5)
    const plain = alice.boxWithServer.open(payload)
    expect(Buffer.from(plain ?? []).toString()).toBe('{"version":2}')
    return toHex(payload.subarray(0, 24))
  })
  expect(nonces[0]).not.toBe(nonces[1])
})

it('the link is told of the login of a client and of a sibling, and not before', () => {
  const relay = new TestRelay()
  const stranger = relay.connect(alice)
  const refused = relay.connect(cathy).send(frames.keepAlive)
  expect([stranger, refused].map(({ link }) => link.isLoggedIn)).toEqual([false, false])
  const logIns = [stranger.logIn(), relay.joinSibling(sibling)]
  expect(logIns.map(({ link }) => link.isLoggedIn)).toEqual([true, true])
})

it('a session that has not logged in within ten seconds is ended; one that has stays', () => {
  const relay = new TestRelay()
  const silent = relay.connect(alice)
  const dawdling = relay.connect(cathy).send(login.clientInfo.frame.subarray(0, 60))
  const there = relay.join(bob)
  relay.pass(9_500)
  expect([silent, dawdling].map((client) => client.isClosed)).toEqual([false, false])
  relay.pass(2_000)
  expect([silent, dawdling, there].map((client) => client.isClosed)).toEqual([true, true, false])
  expect(relay.lastEnd).toBe(EndReason.loginTimeout)
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})

it('admission is asked with key and address, and ServerInfo waits for it', () => {
  const { relay, asked } = undecided()
  const client = relay.connect(alice, { ip: '203.0.113.7', port: 41_641 }).send(login.clientInfo.frame)
  expect(client.take()).toEqual(['ServerKey server'])
  expect(asked.length).toBe(1)
  expect(asked[0]?.request).toEqual({
    key: alice.key,
    remote: client.link.remote,
    withinMs: 10_000,
    isHere: false,
  })
  expect(relay.count('clientsCurrent')).toBe(0)
  relay.clock.advance(300)
  asked[0]?.decide(true)
  expect(client.take()).toEqual(['ServerInfo version 2'])
  expect(relay.count('admissionsAllowed')).toBe(1)
  expect(relay.thread(0).counters.histogram('admission').sum).toBeCloseTo(0.3, 6)
})

it('a client that is refused sees the connection end and nothing else', () => {
  const { relay, asked } = undecided()
  const client = relay.connect(alice)
  client.take()
  client.send(login.clientInfo.frame, frames.sendPacket).settled()
  asked[0]?.decide(false)
  expect(client.take()).toEqual([])
  expect(client.isClosed).toBe(true)
  expect(relay.lastEnd).toBe(EndReason.admissionRefused)
  expect(relay.count('admissionsDenied')).toBe(1)
  expect(relay.count('receivedData')).toBe(0)
})

it.each([false, true])(
  'frames that come while admission is pending are served afterwards, in order (read ahead: %s)',
  (readAhead) => {
    const { relay, asked } = undecided()
    const watcher = relay.joinSibling(sibling).send(frames.watchConns)
    watcher.take()
    const client = relay.connect(alice)
    client.link.hasReadAhead = readAhead
    const packets = Array.from({ length: 40 }, (_, n) => Buffer.from(`packet ${n}`))
    const sent = packets.map((one) =>
      Buffer.concat([Buffer.from([4, 0, 0, 0, 32 + one.length]), alice.key, one]),
    )
    client.send(login.clientInfo.frame, ...sent.slice(0, 10))
    // The rest in pieces that are not whole frames.
    const rest = Buffer.concat(sent.slice(10))
    for (let at = 0; at < rest.length; at += 33) client.send(rest.subarray(at, at + 33))
    expect(client.take()).toEqual(['ServerKey server'])
    expect(watcher.take()).toEqual([])
    asked[0]?.decide(true)
    expect(client.take()).toEqual(['ServerInfo version 2', ...packets.map((one) => packetLine(alice, one))])
    expect(watcher.take()).toEqual([expect.stringMatching(/^PeerPresent alice/)])
    expect(client.link.isPaused).toBe(false)
  },
)

it('the request for a client that leaves while admission is pending is cancelled, and it is not admitted later', () => {
  const { relay, asked } = undecided()
  const client = relay.connect(alice).send(login.clientInfo.frame, frames.sendPacket)
  client.hangUp()
  expect(asked[0]?.isCancelled).toBe(true)
  asked[0]?.decide(true)
  relay.settle()
  expect(relay.count('clientsCurrent')).toBe(0)
  expect(relay.count('connectionsCurrent')).toBe(0)
  expect(relay.thread(0).relay.keyCount).toBe(0)
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})

it('ServerInfo comes before packets that were waiting for the client', () => {
  const relay = new TestRelay()
  const b = relay.connect(bob)
  b.take()
  b.send(b.clientInfo())
  // Bob is registered from here on, but nothing has been flushed yet.
  relay.connect(alice).send(login.clientInfo.frame, frames.sendPacket)
  expect(b.take()).toEqual(['ServerInfo version 2', packetLine(alice, packet)])
})

// ── frames ──

it('frames that have no meaning from a client are skipped, of any length up to the largest', () => {
  const relay = new TestRelay()
  const client = relay.join(alice)
  for (const bytes of [0, 100, 65_568]) client.send(frame(0x7e as FrameType, Buffer.alloc(bytes, 0x5a)))
  client.send(frames.pong, KEEP_ALIVE_FRAME, login.clientInfo.frame, frames.unknown, login.serverKeyFrame)
  expect(client.send(frames.ping).take()).toEqual(['Pong <0102030405060708>'])
  expect(relay.count('unknownFrames')).toBe(8)
})

it('an unknown frame that is longer ends the session as soon as its header is read', () => {
  const relay = new TestRelay()
  const client = relay
    .join(alice)
    .send(Buffer.from([0x7e, 0, 1, 0, 0x21]))
    .settled()
  expect(client.isClosed).toBe(true)
  expect(relay.lastEnd).toBe(EndReason.unknownFrameLength)
})

it.each([
  ['SendPacket of 65,569 bytes', Buffer.from([4, 0, 1, 0, 0x21]), EndReason.sendPacketLength],
  ['SendPacket of 31 bytes', Buffer.from([4, 0, 0, 0, 31]), EndReason.sendPacketLength],
  ['Ping of 7 bytes', pingFrame(Buffer.alloc(7)), EndReason.pingLength],
  ['Ping of 1,001 bytes', pingFrame(Buffer.alloc(1_001)), EndReason.pingLength],
  ['NotePreferred of 0 bytes', frame(FrameType.notePreferred), EndReason.notePreferredLength],
  [
    'NotePreferred of 2 bytes',
    frame(FrameType.notePreferred, Buffer.alloc(2)),
    EndReason.notePreferredLength,
  ],
  ['WatchConns', frames.watchConns, EndReason.notPrivileged],
  ['ClosePeer', frames.closePeer, EndReason.notPrivileged],
  ['ForwardPacket', frames.forwardPacket, EndReason.notPrivileged],
])('%s ends the session that sent it and no other', (_what, bytes, reason) => {
  const relay = new TestRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  a.send(frames.sendPacket).settled()
  a.send(bytes, frames.sendPacket).settled()
  expect(a.isClosed).toBe(true)
  expect(relay.ends.map((end) => [end.reason, end.key])).toEqual([[reason, alice.key]])
  expect(relay.thread(0).counters.ended(reason)).toBe(1)
  expect(b.take()).toEqual([packetLine(alice, packet), 'PeerGone alice disconnected'])
  expect(b.send(frames.ping).take()).toEqual(['Pong <0102030405060708>'])
})

it('a ping is answered with its first eight bytes', () => {
  const client = new TestRelay().join(alice)
  expect(client.send(frames.ping).take()).toEqual(['Pong <0102030405060708>'])
  expect(client.send(frames.pingOfTwelveBytes).take()).toEqual(['Pong <0102030405060708>'])
  expect(client.send(pingFrame(Buffer.alloc(1_000, 7))).take()).toEqual([`Pong <${'07'.repeat(8)}>`])
})

it('at most one pong waits, however many pings come', () => {
  const relay = new TestRelay()
  const client = relay.join(alice)
  expect(client.send(...Array.from({ length: 100 }, () => frames.ping)).take()).toEqual([
    'Pong <0102030405060708>',
  ])
  client.link.isStalled = true
  for (let n = 0; n < 100; n++) client.send(frames.ping).settled()
  client.link.isStalled = false
  expect(client.take().length).toBe(2)
  expect(relay.count('pingsReceived')).toBe(200)
  expect(relay.count('pongsSent')).toBe(3)
})

it('the home note is counted when it changes, and as a move if the client logged in earlier', () => {
  const relay = new TestRelay()
  const client = relay.join(alice)
  const note = (isHome: boolean): number[] => {
    client.send(notePreferredFrame(isHome)).settled()
    return [relay.count('clientsHome'), relay.count('homeMovesIn'), relay.count('homeMovesOut')]
  }
  expect(note(true)).toEqual([1, 0, 0])
  expect(note(true)).toEqual([1, 0, 0])
  expect(note(false)).toEqual([0, 0, 0])
  relay.pass(6_000)
  expect(note(false)).toEqual([0, 0, 0])
  expect(note(true)).toEqual([1, 1, 0])
  expect(note(true)).toEqual([1, 1, 0])
  expect(note(false)).toEqual([0, 1, 1])
  client.send(frame(FrameType.notePreferred, Buffer.from([0xff]))).settled()
  expect(relay.count('clientsHome')).toBe(1)
  client.hangUp()
  expect(relay.count('clientsHome')).toBe(0)
})

// ── time ──

it('a silent client is sent keepalives at a constant period of 60 to 65 s and never ended', () => {
  const relay = new TestRelay()
  const clients = [alice, bob, cathy].map((who) => relay.join(who))
  const keptAliveAt = clients.map((): number[] => [])
  for (let second = 1; second <= 700; second++) {
    relay.pass(1_000)
    clients.forEach((client, i) => client.take().forEach(() => keptAliveAt[i]?.push(second)))
  }
  const periods = keptAliveAt.map((seconds) => {
    const first = seconds[0] ?? 0
    const gaps = seconds.slice(1).map((second, i) => second - (seconds[i] ?? 0))
    // Sweeps come once a second, so a period of 62.4 s becomes one of 62 or 63.
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1)
    expect(gaps.length).toBeGreaterThanOrEqual(9)
    expect(first).toBeGreaterThanOrEqual(60)
    expect(first).toBeLessThanOrEqual(66)
    return ((seconds.at(-1) ?? 0) - first) / gaps.length
  })
  for (const period of periods) {
    expect(period).toBeGreaterThanOrEqual(59.9)
    expect(period).toBeLessThanOrEqual(65.1)
  }
  expect(new Set(periods).size).toBeGreaterThan(1)
  expect(clients.map((client) => client.isClosed)).toEqual([false, false, false])
})

it('the first keepalive comes one period after login, also under load', () => {
  const relay = new TestRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  const lines: string[] = []
  for (let second = 0; second < 70; second++) {
    for (let n = 0; n < 50; n++) a.send(frames.sendPacket)
    relay.pass(1_000)
    if (second < 59) expect(b.take()).not.toContain('KeepAlive')
    else lines.push(...b.take())
  }
  expect(lines.filter((line) => line === 'KeepAlive').length).toBe(1)
})

it('a client that takes nothing for two seconds is ended, without effect on others', () => {
  const relay = new TestRelay()
  const [a, b, c] = [relay.join(alice), relay.join(bob), relay.join(cathy)]
  b.link.isStalled = true
  a.send(frames.sendPacket).settled()
  relay.pass(1_800)
  expect(b.isClosed).toBe(false)
  a.send(frames.sendPacket)
  relay.pass(1_500)
  expect(b.isClosed).toBe(true)
  expect(b.link.ending).toBe('destroy')
  expect(relay.lastEnd).toBe(EndReason.writeStalled)
  expect(relay.count('writeStalls')).toBe(1)
  expect(relay.drops).toEqual({ 'gone_disconnected data': 1 })
  expect(relay.thread(0).relay.lentBytes).toBe(0)
  a.sendPacket(cathy, packet)
  expect(c.take()).toEqual([packetLine(alice, packet)])
})

it('a client that takes a burst now and then is not ended', () => {
  const relay = new TestRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  for (let n = 0; n < 10; n++) {
    b.link.isStalled = true
    a.send(frames.sendPacket).settled()
    relay.pass(1_500)
    b.link.isStalled = false
    expect(b.take().length).toBe(1)
  }
})

it('a sibling may take nothing for 20 s, and is ended after 30', () => {
  const relay = new TestRelay()
  const watcher = relay.joinSibling(sibling).send(frames.watchConns)
  watcher.take()
  watcher.link.isStalled = true
  relay.join(alice)
  relay.pass(20_000)
  expect(watcher.isClosed).toBe(false)
  relay.pass(12_000)
  expect(watcher.isClosed).toBe(true)
  expect(relay.lastEnd).toBe(EndReason.writeStalled)
})

it('without a write time limit no session is ended for taking nothing', () => {
  const relay = new TestRelay({ limits: { writeTimeoutMs: 0 } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  b.link.isStalled = true
  a.send(frames.sendPacket).settled()
  relay.pass(60_000)
  expect(b.isClosed).toBe(false)
})

it('a session that does not take its control frames is ended, and not registered afterwards', () => {
  const relay = new TestRelay()
  const watcher = relay.joinSibling(sibling).send(frames.watchConns)
  watcher.take()
  const b = relay.join(bob)
  for (let n = 0; n < 200; n++) relay.join(actor(`here ${n}`))
  watcher.link.isStalled = true
  relay.join(cathy)
  // It asks as often as it is answered, over a long time.
  for (let n = 0; n < 5_000 && !watcher.isClosed; n++) {
    watcher.send(frames.watchConns).settled()
    relay.sweep()
  }
  watcher.link.isStalled = false
  relay.settle()
  expect(watcher.isClosed).toBe(true)
  expect(relay.lastEnd).toBe(EndReason.controlOverflow)
  expect(relay.count('watchersCurrent')).toBe(0)
  expect(b.send(frames.ping).take()).toEqual(['Pong <0102030405060708>'])
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})

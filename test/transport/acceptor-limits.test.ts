// Limits of a TLS connection before its data and besides it: time, memory and records without data, over both acceptors and each
// way of TLS. The
// remote is as hostile as it can be with bytes.

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { AcceptorHarness, failures, received, type AcceptorKind } from '../support/acceptor-harness.ts'
import { RecordClient, RecordType } from '../support/tls-records.ts'

const OPENSSL: AcceptorKind = { way: 'openssl', tls: 'TLSv1.3' }
const HANDLES: AcceptorKind = { way: 'handles', tls: 'TLSv1.3' }
const SOCKETS: AcceptorKind = { way: 'sockets', tls: 'TLSv1.3' }

/** The first record of a client that will never answer. */
async function hello(): Promise<Buffer> {
  return await new Promise((resolve) => {
    const silent = new Duplex({ read: () => undefined, write: (chunk: Buffer) => resolve(chunk) })
    connectTls({ socket: silent, rejectUnauthorized: false }).on('error', () => undefined)
  })
}

/** Connects and sends a hello; `finish` completes the handshake. */
async function helloOfSlowClient(harness: AcceptorHarness): Promise<{ finish(): Promise<void> }> {
  const tcp = await connectAndSend(harness, Buffer.alloc(0))
  const answer: Buffer[] = []
  tcp.on('data', (chunk: Buffer) => answer.push(chunk))
  const pipe = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void tcp.write(chunk, () => done()),
  })
  const tls = connectTls({ socket: pipe, rejectUnauthorized: false })
  return {
    finish: async () => {
      await vi.waitFor(() => expect(answer.length).toBeGreaterThan(0))
      tcp.on('data', (chunk: Buffer) => pipe.push(chunk))
      const isDone = once(tls, 'secureConnect')
      pipe.push(Buffer.concat(answer))
      await isDone
    },
  }
}

/** The header of the longest record, and nearly all of it. */
const LONG_HELLO = Buffer.alloc(16_384)
LONG_HELLO.set([22, 3, 1, 0x40, 0])

/** Connects and sends `bytes`. */
async function connectAndSend(harness: AcceptorHarness, bytes: Uint8Array): Promise<Socket> {
  const remote = harness.tcp()
  await once(remote, 'connect')
  if (bytes.length > 0) await new Promise((resolve) => void remote.write(bytes, resolve))
  return remote
}

function descriptorCount(): number {
  return readdirSync('/proc/self/fd').length
}

/** Waits until the acceptor has handled everything that was sent before. */
async function settle(harness: AcceptorHarness): Promise<void> {
  const probe = harness.tcp()
  probe.end('no TLS')
  await received(probe)
}

describe.each([
  ['OpenSSL', OPENSSL],
  ['handles', HANDLES],
  ['sockets', SOCKETS],
])('%s', (_name, kind) => {
  let harness: AcceptorHarness
  afterEach(async () => await harness.close())

  it.each([
    ['sends nothing', async () => Buffer.alloc(0)],
    ['sends half a hello', async () => (await hello()).subarray(0, 100)],
    ['stalls in its handshake', hello],
  ])('a client that %s is closed and counted after 30 s, and not before', async (_what, bytes) => {
    const clock = new FakeClock()
    harness = await new AcceptorHarness(kind, { clock }).open()
    const remote = await connectAndSend(harness, await bytes())
    await settle(harness)
    let isClosed = false
    const closed = received(remote).then(() => (isClosed = true))
    clock.advance(29_999)
    harness.sweep()
    await settle(harness)
    expect(isClosed).toBe(false)
    clock.advance(2)
    harness.sweep()
    await closed
    expect(harness.counters.get('handshakesTimedOut')).toBe(1)
  })

  describe.each([
    ['that request no answer', false],
    ['that request an answer', true],
  ])('key updates %s', (_kind, isAnswerWanted) => {
    it.each([
      ['reads everything', false],
      ['reads nothing', true],
    ])('end a client that sends nothing else and %s', async (_what, isNotReading) => {
      harness = await new AcceptorHarness(kind).open()
      const client = await RecordClient.over(await connectAndSend(harness, Buffer.alloc(0)))
      client.tls.write('here')
      await vi.waitFor(() => expect(harness.accepted[0]?.text).toBe('here'))
      harness.sweep()
      client.seal(RecordType.data, Buffer.alloc(0)) // the library has used this sequence number
      if (isNotReading) client.tcp.pause()
      client.sendKeyUpdates(1_500, isAnswerWanted)
      await vi.waitFor(() => {
        harness.sweep()
        expect(harness.accepted[0]?.closedCount).toBe(1)
      })
      expect(harness.counters.get('tlsUseless')).toBe(1)
      expect(harness.counters.get('tlsCurrent13')).toBe(0)
    })
  })

  it.each([
    ['alerts', RecordType.alert, Buffer.from([1, 90])],
    ['empty records', RecordType.data, Buffer.alloc(0)],
    ['requests for a session ticket', RecordType.handshake, Buffer.from([4, 0, 0, 0])],
    ['a second hello', RecordType.handshake, Buffer.from([1, 0, 0, 0])],
  ])('%s end a client that sends nothing else', async (_what, type, content) => {
    harness = await new AcceptorHarness(kind).open()
    const client = await RecordClient.over(await connectAndSend(harness, Buffer.alloc(0)))
    await vi.waitFor(() => expect(harness.accepted.length).toBe(1))
    for (let i = 0; i < 1_500; i++) client.tcp.write(client.seal(type, content))
    await vi.waitFor(() => {
      harness.sweep()
      expect(harness.accepted[0]?.closedCount).toBe(1)
    })
    expect(harness.counters.get('tlsCurrent13')).toBe(0)
  })

  it.each([
    [
      'TLSv1.3',
      'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
      'TLS_AES_128_GCM_SHA256',
    ],
    ['TLSv1.3', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
    [
      'TLSv1.2',
      'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
    ],
    [
      'TLSv1.2',
      'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
    ],
  ] as const)('with %s, a client that offers %s gets %s', async (tls, ciphers, chosen) => {
    harness = await new AcceptorHarness({ ...kind, tls }).open()
    const socket = connectTls({
      port: harness.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ciphers,
      maxVersion: tls,
    })
    await once(socket, 'secureConnect')
    expect(socket.getCipher().standardName.replaceAll('_', '-')).toContain(
      chosen
        .replace(/^ECDHE-ECDSA-AES(\d+)-/, 'AES-$1-')
        .replaceAll('_', '-')
        .replace(/^ECDHE-ECDSA-/, ''),
    )
    socket.destroy()
  })

  it('a connection that ends leaves nothing behind, at whatever stage and however it ends', async () => {
    harness = await new AcceptorHarness(kind).open()
    await settle(harness)
    const before = descriptorCount()
    const whole = await hello()
    const stages = [Buffer.alloc(0), whole.subarray(0, 100), whole, Buffer.from('no TLS')]
    const ends: ((remote: Socket) => void)[] = [
      (remote) => remote.resetAndDestroy(),
      (remote) => void remote.end(),
      (remote) => void remote.destroy(),
    ]
    for (let round = 0; round < 10; round++) {
      for (const end of ends) {
        for (const stage of stages) end(await connectAndSend(harness, stage))
        end((await harness.pair()).tcp)
      }
    }
    await vi.waitFor(() => {
      expect(failures(harness.counters)).toBe(1 + 10 * ends.length * stages.length)
      expect(harness.counters.get('tlsCurrent13')).toBe(0)
      expect(harness.accepted.map(({ closedCount }) => closedCount)).toEqual(harness.accepted.map(() => 1))
    }, 5_000)
    harness.destroyRemotes()
    await vi.waitFor(() => expect(descriptorCount()).toBeLessThanOrEqual(before), 5_000)
  })

  it('accepts key updates among data, and data in single bytes', async () => {
    harness = await new AcceptorHarness(kind).open()
    const client = await RecordClient.over(await connectAndSend(harness, Buffer.alloc(0)))
    for (let i = 0; i < 500; i++) {
      client.sendKeyUpdates(5, false)
      client.tcp.write(client.seal(RecordType.data, Buffer.alloc(64, 'd')))
      harness.sweep()
    }
    await vi.waitFor(() => expect(harness.accepted[0]?.text.length).toBe(32_000))
    for (let i = 0; i < 500; i++) client.tcp.write(client.seal(RecordType.data, Buffer.from('b')))
    await vi.waitFor(() => expect(harness.accepted[0]?.text.length).toBe(32_500))
    harness.sweep()
    expect(client.isClosed).toBe(false)
    expect(harness.counters.get('tlsUseless')).toBe(0)
  })
})

describe.each([
  ['OpenSSL', OPENSSL],
  ['handles', HANDLES],
])('%s', (_name, kind) => {
  let harness: AcceptorHarness
  afterEach(async () => await harness.close())

  it('make no TLS state for half a hello, however many there are, nor for anything else', async () => {
    harness = await new AcceptorHarness(kind).open()
    const whole = await hello()
    const remotes: Socket[] = []
    for (const bytes of [1, 4, 5, 100, whole.length - 1]) {
      for (let i = 0; i < 20; i++) remotes.push(await connectAndSend(harness, whole.subarray(0, bytes)))
    }
    await settle(harness)
    expect(harness.tlsCount).toBe(0)
    // With the last byte the hello is complete.
    remotes.at(-1)?.write(whole.subarray(-1))
    await vi.waitFor(() => expect(harness.tlsCount).toBe(1))
  })

  it('limit buffered hellos: the connection that has buffered the longest is closed', async () => {
    // The acceptor's share is 32 KiB.
    harness = await new AcceptorHarness(kind, { threadCount: 1_024 }).open()
    const first = await connectAndSend(harness, LONG_HELLO)
    await settle(harness)
    const second = await connectAndSend(harness, LONG_HELLO)
    await settle(harness)
    expect(failures(harness.counters) - harness.counters.get('handshakesNotTls')).toBe(0)
    const end = received(first)
    const third = await connectAndSend(harness, LONG_HELLO.subarray(0, 5))
    await end
    expect(harness.counters.get('handshakesCrowdedOut')).toBe(1)
    await settle(harness)
    expect([second.readableEnded, third.readableEnded]).toEqual([false, false])
  })

  it('limit handshakes in progress: one that takes 3 s is aborted for the next', async () => {
    const clock = new FakeClock()
    // The acceptor's share is two.
    harness = await new AcceptorHarness(kind, { clock, threadCount: 1_024 }).open()
    const stalled = [
      await connectAndSend(harness, await hello()),
      await connectAndSend(harness, await hello()),
    ]
    await vi.waitFor(() => expect(harness.tlsCount).toBe(2))
    const good = harness.remote()
    await settle(harness)
    clock.advance(2_999)
    harness.sweep()
    await settle(harness)
    expect(harness.tlsCount).toBe(2)
    clock.advance(1)
    harness.sweep()
    await good
    await received(stalled[0] as Socket)
    expect(harness.counters.get('handshakesCrowdedOut')).toBe(1)
    expect(stalled[1]?.readableEnded).toBe(false)
    // One that ends leaves room: the next one does not wait.
    await harness.remote()
  })

  it('do not hurry one client while all are slow', async () => {
    const clock = new FakeClock()
    harness = await new AcceptorHarness(kind, { clock, threadCount: 1_024 }).open()
    const slow = await helloOfSlowClient(harness)
    await connectAndSend(harness, await hello())
    await vi.waitFor(() => expect(harness.tlsCount).toBe(2))
    clock.advance(2_000)
    await slow.finish()
    // The quickest one took 2 s: another one may take three times as long.
    await vi.waitFor(() => expect(harness.accepted.length).toBe(1))
    await connectAndSend(harness, await hello())
    const good = harness.remote()
    await settle(harness)
    clock.advance(3_999)
    harness.sweep()
    await settle(harness)
    expect(harness.counters.get('handshakesCrowdedOut')).toBe(0)
    clock.advance(1)
    harness.sweep()
    await good
    expect(harness.counters.get('handshakesCrowdedOut')).toBe(1)
  })

  /** Two clients stall in their handshakes; the acceptor's share is two. */
  async function openAtItsLimit(): Promise<FakeClock> {
    const clock = new FakeClock()
    harness = await new AcceptorHarness(kind, { clock, threadCount: 1_024 }).open()
    for (let i = 0; i < 2; i++) await connectAndSend(harness, await hello())
    await vi.waitFor(() => expect(harness.tlsCount).toBe(2))
    return clock
  }

  it('do not count the time for which a whole hello waits for its turn', async () => {
    const clock = await openAtItsLimit()
    const good = harness.remote()
    await settle(harness)
    clock.advance(30_001)
    harness.sweep()
    await good
    expect(harness.counters.get('handshakesTimedOut')).toBe(2)
  })

  it('notice a client that leaves, or sends more than its hello, while that waits for its turn', async () => {
    await openAtItsLimit()
    const leaving = await connectAndSend(harness, await hello())
    const talking = await connectAndSend(harness, await hello())
    await settle(harness)
    leaving.end()
    talking.write(Buffer.alloc(40_000))
    await vi.waitFor(() => {
      expect(harness.counters.get('handshakesLeft')).toBe(1)
      expect(harness.counters.get('handshakesBroken')).toBe(1)
    })
    expect(harness.tlsCount).toBe(2)
  })
})

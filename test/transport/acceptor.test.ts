// The contract of both acceptors and their connections, over the runtime's handles and over Node's sockets, with each way of TLS
// and without. The remote is one of Node's own sockets.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { PlainCounter } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import { DROPPED_BYTES_MAX } from '#transport/graceful-close.ts'
import type { ScheduledConnection } from '#transport/read-state.ts'
import { AcceptorHarness, failures, received, type AcceptorKind } from '../support/acceptor-harness.ts'
import { unreadableRecord } from '../support/tls-records.ts'

const KINDS: readonly (readonly [string, AcceptorKind])[] = [
  ['OpenSSL, TLS 1.3', { way: 'openssl', tls: 'TLSv1.3' }],
  ['OpenSSL, TLS 1.2', { way: 'openssl', tls: 'TLSv1.2' }],
  ['handles, TLS 1.3', { way: 'handles', tls: 'TLSv1.3' }],
  ['handles, TLS 1.2', { way: 'handles', tls: 'TLSv1.2' }],
  ['handles, plain', { way: 'handles', tls: undefined }],
  ['sockets, TLS 1.3', { way: 'sockets', tls: 'TLSv1.3' }],
  ['sockets, plain', { way: 'sockets', tls: undefined }],
]

describe.each(KINDS)('%s', (_name, kind) => {
  let harness: AcceptorHarness
  const open = async (): Promise<AcceptorHarness> => (harness = await new AcceptorHarness(kind).open())
  afterEach(async () => await harness.close())

  it('reports the remote address of a connection', async () => {
    const { remote, accepted } = await (await open()).pair()
    expect(accepted.connection.remote.port).toBe(remote.localPort)
    expect(Buffer.from(accepted.connection.remote.ip).toString('hex')).toBe(
      '00000000000000000000ffff7f000001',
    )
  })

  it('carries megabytes in both directions, however they are split, one burst at a time', async () => {
    const { remote, accepted } = await (await open()).pair()
    const bytes = randomBytes(6_000_000)
    const waiting: Buffer[] = []
    let isWriting = false
    const write = (): void => {
      const burst = waiting.splice(0)
      isWriting = burst.length > 0
      for (const [at, part] of burst.entries()) accepted.connection.write(part, at === burst.length - 1)
    }
    accepted.onBytes = (own) => {
      waiting.push(own)
      if (!isWriting) write()
    }
    accepted.written = write
    const hash = createHash('sha256')
    let count = 0
    const isBack = new Promise<void>((resolve) => {
      remote.on('data', (chunk: Buffer) => {
        hash.update(chunk)
        count += chunk.length
        if (count === bytes.length) resolve()
      })
    })
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7 + 13) % 90_000) {
      remote.write(bytes.subarray(at, at + size))
      if (size % 5 === 0) await new Promise((resolve) => void setImmediate(resolve))
    }
    await isBack
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'))
  })

  it('reads nothing more while paused, and everything afterwards', async () => {
    const { remote, accepted } = await (await open()).pair()
    accepted.connection.pause()
    const bytes = randomBytes(12_000_000)
    let isSent = false
    remote.write(bytes, () => (isSent = true))
    await once(remote, 'drain', { signal: AbortSignal.timeout(300) }).catch(() => undefined)
    // Bytes that were in transit when reading stopped may still arrive.
    expect(isSent).toBe(false)
    expect(Buffer.concat(accepted.chunks).length).toBeLessThan(200_000)
    accepted.connection.resume()
    await vi.waitFor(() => expect(Buffer.concat(accepted.chunks).equals(bytes)).toBe(true), 10_000)
  })

  it('loses nothing of a connection that is polled, and reports its end', async () => {
    const harness = await open()
    const { remote, accepted } = await harness.pair()
    // Connections on which nobody has logged in are not polled.
    accepted.connection.readAs(undefined)
    const { readState } = accepted.connection as unknown as ScheduledConnection
    const { stackTraceLimit } = Error
    const sent: Buffer[] = []
    let polledRecords = 0
    const sweeper = setInterval(() => harness.scheduler.sweep(), 20)
    while (polledRecords < 20) {
      const record = randomBytes(4_000)
      sent.push(record)
      remote.write(record)
      if (readState.isPolled) polledRecords++
      await new Promise((resolve) => void setImmediate(resolve))
    }
    clearInterval(sweeper)
    remote.end()
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
    expect(Buffer.concat(accepted.chunks).equals(Buffer.concat(sent))).toBe(true)
    expect(Error.stackTraceLimit).toBe(stackTraceLimit)
  })

  it('closes gracefully after the last byte, also if the remote reads slowly', async () => {
    const { remote, accepted } = await (await open()).pair()
    const bytes = randomBytes(3_000_000)
    accepted.connection.write(bytes, true)
    accepted.connection.close()
    expect((await received(remote)).equals(bytes)).toBe(true)
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
    expect(accepted.writtenCount).toBe(0)
  })

  it('delivers nothing during a graceful close, and destroys a connection whose remote does not close', async () => {
    const { remote, accepted } = await (await open()).pair()
    remote.pause()
    accepted.connection.write(randomBytes(20_000_000), true)
    accepted.connection.close()
    remote.write('still talking')
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1), 5_000)
    expect(accepted.text).toBe('')
  })

  it('reads a remote that goes on sending during a graceful close no further than its limit', async () => {
    const { remote, accepted } = await (await open()).pair()
    // It does not read, and so does not see the end.
    remote.pause()
    accepted.connection.write(Buffer.alloc(20_000_000), true)
    accepted.connection.close()
    const chunk = Buffer.alloc(65_536)
    let sentBytes = 0
    while (!remote.destroyed && accepted.closedCount === 0) {
      sentBytes += chunk.length
      remote.write(chunk)
      await new Promise((resolve) => void setImmediate(resolve))
    }
    // The rest is what the system has buffered. In the second that such a close may take, loopback carries a hundred times as much.
    expect(sentBytes).toBeGreaterThan(DROPPED_BYTES_MAX)
    expect(sentBytes).toBeLessThan(DROPPED_BYTES_MAX + 16_777_216)
  })

  it('receives after its own end what the remote sends until that ends, too', async () => {
    const { remote, accepted } = await (await open()).pair()
    const { connection } = accepted
    connection.write(Buffer.from('last'), true)
    await vi.waitFor(() => expect(accepted.writtenCount).toBe(1))
    connection.finish()
    remote.write('late')
    expect(String(await received(remote))).toBe('last')
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
    expect([accepted.text, accepted.endReason]).toEqual(['late', EndReason.remoteClosed])
  })

  it('can be cut off after its own end, and measures what it has carried', async () => {
    const { remote, accepted } = await (await open()).pair()
    const { connection } = accepted
    const before = [connection.receivedBytes, connection.sentBytes]
    remote.pause().write(Buffer.alloc(10_000))
    await vi.waitFor(() => expect(accepted.text).toHaveLength(10_000))
    expect(connection.receivedBytes - (before[0] ?? NaN)).toBeGreaterThanOrEqual(10_000)
    connection.write(Buffer.alloc(5_000), true)
    await vi.waitFor(() => expect(connection.sentBytes - (before[1] ?? NaN)).toBeGreaterThanOrEqual(5_000))
    remote.resume()
    connection.finish()
    connection.destroy()
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
  })

  it('refuses connections when it listens no more, and keeps those that it has', async () => {
    const { remote, accepted } = await (await open()).pair()
    harness.stopListening()
    await expect(once(harness.tcp(), 'connect')).rejects.toThrow('ECONNREFUSED')
    expect(harness.accepted).toHaveLength(1)
    remote.write('still here')
    await vi.waitFor(() => expect(accepted.text).toBe('still here'))
  })

  it('reports the end once, whichever side ends the connection', async () => {
    const harness = await open()
    const isEnded = await harness.pair()
    isEnded.remote.end('bye')
    const isReset = await harness.pair()
    isReset.tcp.resetAndDestroy()
    const isDestroyed = await harness.pair()
    isDestroyed.accepted.connection.destroy()
    isDestroyed.accepted.connection.destroy()
    await vi.waitFor(() =>
      expect(harness.accepted.map((accepted) => accepted.closedCount)).toEqual([1, 1, 1]),
    )
    expect(isEnded.accepted.text).toBe('bye')
    const reasons = [isEnded, isReset].map(({ accepted }) => accepted.endReason)
    expect(reasons).toEqual([EndReason.remoteClosed, EndReason.remoteReset])
    expect(harness.counters.get('tlsCurrent13') + harness.counters.get('tlsCurrent12')).toBe(0)
  })

  it('reports a write that fails as a reset, also while reading is paused', async () => {
    const { tcp, accepted } = await (await open()).pair()
    accepted.connection.pause()
    const isReset = once(tcp, 'close')
    tcp.resetAndDestroy()
    await isReset
    accepted.connection.write(Buffer.from('are you there?'), true)
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
    expect(accepted.endReason).toBe(EndReason.remoteReset)
  })

  it('closes a connection that its host does not accept', async () => {
    const harness = await open()
    harness.isAccepting = false
    const remote = harness.tcp()
    await received(remote)
    expect(harness.accepted.length).toBe(0)
  })

  it('accepts many connections at once', async () => {
    const harness = await open()
    const remotes = await Promise.all(Array.from({ length: 60 }, async () => await harness.remote()))
    await vi.waitFor(() => expect(harness.accepted.length).toBe(60))
    for (const [index, remote] of remotes.entries()) remote.write(`${index}`)
    await vi.waitFor(() => {
      expect(new Set(harness.accepted.map((accepted) => accepted.text)).size).toBe(60)
    })
  })

  it('ends all connections when it closes', async () => {
    const harness = await open()
    const { remote, accepted } = await harness.pair()
    const silent = harness.tcp()
    await once(silent, 'connect')
    const ends = Promise.all([received(remote), received(silent)])
    await harness.close()
    await ends
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
  })
})

describe.each(KINDS.filter(([, { tls }]) => tls !== undefined))('%s', (_name, kind) => {
  let harness: AcceptorHarness
  afterEach(async () => await harness.close())

  it.each<[string, Buffer, PlainCounter]>([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), 'handshakesNotTls'],
    [
      'an invalid hello',
      Buffer.concat([Buffer.from('16030100f5010000f1', 'hex'), randomBytes(241)]),
      'handshakesBroken',
    ],
    ['nothing at all', Buffer.alloc(0), 'handshakesLeft'],
  ])('closes and counts a client that sends %s', async (_what, bytes, counter) => {
    harness = await new AcceptorHarness(kind).open()
    const remote = harness.tcp()
    remote.end(bytes)
    await received(remote)
    await vi.waitFor(() => expect(harness.counters.get(counter)).toBe(1))
    expect(failures(harness.counters)).toBe(1)
    expect(harness.accepted.length).toBe(0)
  })

  it('reports an unreadable record as a reset', async () => {
    harness = await new AcceptorHarness(kind).open()
    const { tcp, accepted } = await harness.pair()
    tcp.write(unreadableRecord())
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
    expect(accepted.endReason).toBe(EndReason.remoteReset)
    expect(accepted.text).toBe('')
  })

  it('accepts a hello that arrives byte by byte', async () => {
    harness = await new AcceptorHarness(kind).open()
    const remote = harness.tcp().setNoDelay(true)
    await once(remote, 'connect')
    const tls = connectTls({ socket: slowly(remote), rejectUnauthorized: false })
    await once(tls, 'secureConnect')
    tls.write('here')
    await vi.waitFor(() => expect(harness.accepted[0]?.text).toBe('here'))
    tls.destroy()
  })
})

/** The same connection, except that what is written is split into single bytes. */
function slowly(socket: Socket): Duplex {
  const slow = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      for (const byte of chunk) socket.write(Buffer.of(byte))
      setImmediate(done)
    },
  })
  socket.on('data', (chunk: Buffer) => slow.push(chunk))
  return slow
}

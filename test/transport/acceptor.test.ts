// Both ways in, over the runtime's handles and over its sockets, must do the same for the front door and the relay,
// with TLS and without. The remote is a plain client of Node's.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { PlainCounter } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { ScheduledConnection } from '#transport/read-state.ts'
import { failures, Hall, received, type Way } from '../support/acceptor-harness.ts'
import { unreadableRecord } from '../support/tls-records.ts'

const WAYS: readonly (readonly [string, Way])[] = [
  ['handles, TLS 1.3', { isDirect: true, tls: 'TLSv1.3' }],
  ['handles, TLS 1.2', { isDirect: true, tls: 'TLSv1.2' }],
  ['handles, plain', { isDirect: true, tls: undefined }],
  ['sockets, TLS 1.3', { isDirect: false, tls: 'TLSv1.3' }],
  ['sockets, plain', { isDirect: false, tls: undefined }],
]

describe.each(WAYS)('%s', (_name, way) => {
  let hall: Hall
  const open = async (): Promise<Hall> => (hall = await new Hall(way).open())
  afterEach(async () => await hall.close())

  it('tells from where a connection comes', async () => {
    const { remote, guest } = await (await open()).pair()
    expect(guest.connection.remote.port).toBe(remote.localPort)
    expect(Buffer.from(guest.connection.remote.ip).toString('hex')).toBe('00000000000000000000ffff7f000001')
  })

  it('carries megabytes both ways, however they are cut, one burst at a time', async () => {
    const { remote, guest } = await (await open()).pair()
    const bytes = randomBytes(6_000_000)
    const waiting: Buffer[] = []
    let isWriting = false
    const write = (): void => {
      const burst = waiting.splice(0)
      isWriting = burst.length > 0
      for (const [at, part] of burst.entries()) guest.connection.write(part, at === burst.length - 1)
    }
    guest.onBytes = (own) => {
      waiting.push(own)
      if (!isWriting) write()
    }
    guest.written = write
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
    const { remote, guest } = await (await open()).pair()
    guest.connection.pause()
    const bytes = randomBytes(12_000_000)
    let isSent = false
    remote.write(bytes, () => (isSent = true))
    await once(remote, 'drain', { signal: AbortSignal.timeout(300) }).catch(() => undefined)
    // What was on its way when reading stopped may still arrive.
    expect(isSent).toBe(false)
    expect(Buffer.concat(guest.chunks).length).toBeLessThan(200_000)
    guest.connection.resume()
    await vi.waitFor(() => expect(Buffer.concat(guest.chunks).equals(bytes)).toBe(true), 10_000)
  })

  it('loses nothing of a flow that is looked at in beats, and is told of its end', async () => {
    const hall = await open()
    const { remote, guest } = await hall.pair()
    const { readState } = guest.connection as unknown as ScheduledConnection
    const sent: Buffer[] = []
    let beats = 0
    const sweeper = setInterval(() => hall.scheduler.sweep(), 20)
    while (beats < 20) {
      const record = randomBytes(4_000)
      sent.push(record)
      remote.write(record)
      if (readState.isPolled) beats++
      await new Promise((resolve) => void setImmediate(resolve))
    }
    clearInterval(sweeper)
    remote.end()
    await vi.waitFor(() => expect(guest.closedCount).toBe(1))
    expect(Buffer.concat(guest.chunks).equals(Buffer.concat(sent))).toBe(true)
  })

  it('says goodbye after the last word, also to who takes it slowly', async () => {
    const { remote, guest } = await (await open()).pair()
    const words = randomBytes(3_000_000)
    guest.connection.write(words, true)
    guest.connection.close()
    expect((await received(remote)).equals(words)).toBe(true)
    await vi.waitFor(() => expect(guest.closedCount).toBe(1))
    expect(guest.writtenCount).toBe(0)
  })

  it('hears no more of whom it says goodbye to, and is rid of who does not answer it', async () => {
    const { remote, guest } = await (await open()).pair()
    remote.pause()
    guest.connection.write(randomBytes(20_000_000), true)
    guest.connection.close()
    remote.write('still talking')
    await vi.waitFor(() => expect(guest.closedCount).toBe(1), 5_000)
    expect(guest.text).toBe('')
  })

  it('is told once of the end, whoever ends it', async () => {
    const here = await open()
    const hangsUp = await here.pair()
    hangsUp.remote.end('bye')
    const isReset = await here.pair()
    isReset.tcp.resetAndDestroy()
    const isDestroyed = await here.pair()
    isDestroyed.guest.connection.destroy()
    isDestroyed.guest.connection.destroy()
    await vi.waitFor(() => expect(here.guests.map((guest) => guest.closedCount)).toEqual([1, 1, 1]))
    expect(hangsUp.guest.text).toBe('bye')
    const reasons = [hangsUp, isReset].map(({ guest }) => guest.endReason)
    expect(reasons).toEqual([EndReason.remoteClosed, EndReason.remoteReset])
    expect(here.counters.get('tlsCurrent13') + here.counters.get('tlsCurrent12')).toBe(0)
  })

  it('takes what can no longer be written for a connection that broke, also while it reads nothing', async () => {
    const { tcp, guest } = await (await open()).pair()
    guest.connection.pause()
    const isReset = once(tcp, 'close')
    tcp.resetAndDestroy()
    await isReset
    guest.connection.write(Buffer.from('are you there?'), true)
    await vi.waitFor(() => expect(guest.closedCount).toBe(1))
    expect(guest.endReason).toBe(EndReason.remoteReset)
  })

  it('lets nobody in when it must not', async () => {
    const here = await open()
    here.isOpen = false
    const remote = here.tcp()
    await received(remote)
    expect(here.guests.length).toBe(0)
  })

  it('takes in many who come at once', async () => {
    const here = await open()
    const remotes = await Promise.all(Array.from({ length: 60 }, async () => await here.remote()))
    await vi.waitFor(() => expect(here.guests.length).toBe(60))
    for (const [index, remote] of remotes.entries()) remote.write(`${index}`)
    await vi.waitFor(() => {
      expect(new Set(here.guests.map((guest) => guest.text)).size).toBe(60)
    })
  })

  it('ends everybody when it closes', async () => {
    const here = await open()
    const { remote, guest } = await here.pair()
    const silent = here.tcp()
    await once(silent, 'connect')
    const ends = Promise.all([received(remote), received(silent)])
    await here.close()
    await ends
    await vi.waitFor(() => expect(guest.closedCount).toBe(1))
  })
})

describe.each(WAYS.filter(([, { tls }]) => tls !== undefined))('%s', (_name, way) => {
  let hall: Hall
  afterEach(async () => await hall.close())

  it.each<[string, Buffer, PlainCounter]>([
    ['no TLS', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), 'handshakesNotTls'],
    [
      'a hello of nonsense',
      Buffer.concat([Buffer.from('16030100f5010000f1', 'hex'), randomBytes(241)]),
      'handshakesBroken',
    ],
    ['nothing at all', Buffer.alloc(0), 'handshakesLeft'],
  ])('ends and counts who sends %s', async (_what, bytes, counter) => {
    hall = await new Hall(way).open()
    const remote = hall.tcp()
    remote.end(bytes)
    await received(remote)
    await vi.waitFor(() => expect(hall.counters.get(counter)).toBe(1))
    expect(failures(hall.counters)).toBe(1)
    expect(hall.guests.length).toBe(0)
  })

  it('takes a record that nobody can read for a connection that broke', async () => {
    hall = await new Hall(way).open()
    const { tcp, guest } = await hall.pair()
    tcp.write(unreadableRecord())
    await vi.waitFor(() => expect(guest.closedCount).toBe(1))
    expect(guest.endReason).toBe(EndReason.remoteReset)
    expect(guest.text).toBe('')
  })

  it('takes a hello that comes byte by byte', async () => {
    hall = await new Hall(way).open()
    const remote = hall.tcp().setNoDelay(true)
    await once(remote, 'connect')
    const tls = connectTls({ socket: slowly(remote), rejectUnauthorized: false })
    await once(tls, 'secureConnect')
    tls.write('here')
    await vi.waitFor(() => expect(hall.guests[0]?.text).toBe('here'))
    tls.destroy()
  })
})

/** The same connection, what is written to it cut into single bytes. */
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

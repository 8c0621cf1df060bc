// What a TLS connection may cost before and beside its data: time, memory and records, over both ways in. The remote is
// as hostile as it can be with bytes.

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { failures, Hall, received, type Way } from '../support/acceptor-harness.ts'
import { RecordClient, RecordType } from '../support/tls-records.ts'

const HANDLES: Way = { isDirect: true, tls: 'TLSv1.3' }
const SOCKETS: Way = { isDirect: false, tls: 'TLSv1.3' }

/** The first record of a client that will never answer. */
async function hello(): Promise<Buffer> {
  return await new Promise((resolve) => {
    const silent = new Duplex({ read: () => undefined, write: (chunk: Buffer) => resolve(chunk) })
    connectTls({ socket: silent, rejectUnauthorized: false }).on('error', () => undefined)
  })
}

/** The header of the longest record, and nearly all of it. */
const LONG_HELLO = Buffer.alloc(16_384)
LONG_HELLO.set([22, 3, 1, 0x40, 0])

async function sends(hall: Hall, bytes: Uint8Array): Promise<Socket> {
  const remote = hall.tcp()
  await once(remote, 'connect')
  if (bytes.length > 0) await new Promise((resolve) => void remote.write(bytes, resolve))
  return remote
}

function descriptorCount(): number {
  return readdirSync('/proc/self/fd').length
}

/** Lets everything happen that was sent until now. */
async function settled(hall: Hall): Promise<void> {
  const probe = hall.tcp()
  probe.end('no TLS')
  await received(probe)
}

describe.each([
  ['handles', HANDLES],
  ['sockets', SOCKETS],
])('%s', (_name, way) => {
  let hall: Hall
  afterEach(async () => await hall.close())

  it.each([
    ['says nothing', async () => Buffer.alloc(0)],
    ['says half a hello', async () => (await hello()).subarray(0, 100)],
    ['stalls in its handshake', hello],
  ])('who %s is ended and counted after 30 s, and not before', async (_what, words) => {
    const clock = new FakeClock()
    hall = await new Hall(way, { clock }).open()
    const remote = await sends(hall, await words())
    await settled(hall)
    let isOver = false
    const over = received(remote).then(() => (isOver = true))
    clock.advance(29_999)
    hall.sweep()
    await settled(hall)
    expect(isOver).toBe(false)
    clock.advance(2)
    hall.sweep()
    await over
    expect(hall.counters.get('handshakesTimedOut')).toBe(1)
  })

  describe.each([
    ['that nobody asked to answer', false],
    ['that want an answer', true],
  ])('key updates %s', (_kind, isAnswerWanted) => {
    it.each([
      ['reads all', false],
      ['reads nothing', true],
    ])('end who sends them alone and %s', async (_what, isDeaf) => {
      hall = await new Hall(way).open()
      const client = await RecordClient.over(await sends(hall, Buffer.alloc(0)))
      client.tls.write('here')
      await vi.waitFor(() => expect(hall.guests[0]?.text).toBe('here'))
      hall.sweep()
      client.seal(RecordType.data, Buffer.alloc(0)) // of the number that the library has used
      if (isDeaf) client.tcp.pause()
      client.sendKeyUpdates(1_500, isAnswerWanted)
      await vi.waitFor(() => {
        hall.sweep()
        expect(hall.guests[0]?.closedCount).toBe(1)
      })
      expect(hall.counters.get('tlsUseless')).toBe(1)
      expect(hall.counters.get('tlsCurrent13')).toBe(0)
    })
  })

  it.each([
    ['alerts', RecordType.alert, Buffer.from([1, 90])],
    ['empty records', RecordType.data, Buffer.alloc(0)],
    ['questions for a session ticket', RecordType.handshake, Buffer.from([4, 0, 0, 0])],
    ['a second hello', RecordType.handshake, Buffer.from([1, 0, 0, 0])],
  ])('%s end who sends them alone', async (_what, type, content) => {
    hall = await new Hall(way).open()
    const client = await RecordClient.over(await sends(hall, Buffer.alloc(0)))
    await vi.waitFor(() => expect(hall.guests.length).toBe(1))
    for (let i = 0; i < 1_500; i++) client.tcp.write(client.seal(type, content))
    await vi.waitFor(() => {
      hall.sweep()
      expect(hall.guests[0]?.closedCount).toBe(1)
    })
    expect(hall.counters.get('tlsCurrent13')).toBe(0)
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
  ] as const)('%s of a client that wants %s is %s', async (tls, ciphers, chosen) => {
    hall = await new Hall({ ...way, tls }).open()
    const socket = connectTls({
      port: hall.port,
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

  it('nothing is left of who leaves, at whatever stage and however', async () => {
    hall = await new Hall(way).open()
    await settled(hall)
    const before = descriptorCount()
    const words = await hello()
    const stages = [Buffer.alloc(0), words.subarray(0, 100), words, Buffer.from('no TLS')]
    const ends: ((remote: Socket) => void)[] = [
      (remote) => remote.resetAndDestroy(),
      (remote) => void remote.end(),
      (remote) => void remote.destroy(),
    ]
    for (let round = 0; round < 10; round++) {
      for (const end of ends) {
        for (const stage of stages) end(await sends(hall, stage))
        end((await hall.pair()).tcp)
      }
    }
    await vi.waitFor(() => {
      expect(failures(hall.counters)).toBe(1 + 10 * ends.length * stages.length)
      expect(hall.counters.get('tlsCurrent13')).toBe(0)
      expect(hall.guests.map(({ closedCount }) => closedCount)).toEqual(hall.guests.map(() => 1))
    }, 5_000)
    hall.hangUp()
    await vi.waitFor(() => expect(descriptorCount()).toBeLessThanOrEqual(before), 5_000)
  })

  it('takes key updates beside data, and data in single bytes', async () => {
    hall = await new Hall(way).open()
    const client = await RecordClient.over(await sends(hall, Buffer.alloc(0)))
    for (let i = 0; i < 500; i++) {
      client.sendKeyUpdates(5, false)
      client.tcp.write(client.seal(RecordType.data, Buffer.alloc(64, 'd')))
      hall.sweep()
    }
    await vi.waitFor(() => expect(hall.guests[0]?.text.length).toBe(32_000))
    for (let i = 0; i < 500; i++) client.tcp.write(client.seal(RecordType.data, Buffer.from('b')))
    await vi.waitFor(() => expect(hall.guests[0]?.text.length).toBe(32_500))
    hall.sweep()
    expect(client.isClosed).toBe(false)
    expect(hall.counters.get('tlsUseless')).toBe(0)
  })
})

describe('handles', () => {
  let hall: Hall
  afterEach(async () => await hall.close())

  it('make no TLS for half a hello, however many there are, nor for what is none', async () => {
    hall = await new Hall(HANDLES).open()
    const whole = await hello()
    const remotes: Socket[] = []
    for (const bytes of [1, 4, 5, 100, whole.length - 1]) {
      for (let i = 0; i < 20; i++) remotes.push(await sends(hall, whole.subarray(0, bytes)))
    }
    await settled(hall)
    expect(hall.tlsCount).toBe(0)
    // And the last byte makes one.
    remotes.at(-1)?.write(whole.subarray(-1))
    await vi.waitFor(() => expect(hall.tlsCount).toBe(1))
  })

  it('hold so many bytes of hellos and no more: who has held some longest goes', async () => {
    // A share of 32 KiB.
    hall = await new Hall(HANDLES, { threadCount: 1_024 }).open()
    const first = await sends(hall, LONG_HELLO)
    await settled(hall)
    const second = await sends(hall, LONG_HELLO)
    await settled(hall)
    expect(failures(hall.counters) - hall.counters.get('handshakesNotTls')).toBe(0)
    const end = received(first)
    const third = await sends(hall, LONG_HELLO.subarray(0, 5))
    await end
    expect(hall.counters.get('handshakesCrowdedOut')).toBe(1)
    await settled(hall)
    expect([second.readableEnded, third.readableEnded]).toEqual([false, false])
  })

  it('have so many handshakes under way and no more; who takes 3 s makes room for the next', async () => {
    const clock = new FakeClock()
    // A share of two.
    hall = await new Hall(HANDLES, { clock, threadCount: 1_024 }).open()
    const stalled = [await sends(hall, await hello()), await sends(hall, await hello())]
    await vi.waitFor(() => expect(hall.tlsCount).toBe(2))
    const good = hall.remote()
    await settled(hall)
    clock.advance(2_999)
    hall.sweep()
    await settled(hall)
    expect(hall.tlsCount).toBe(2)
    clock.advance(1)
    hall.sweep()
    await good
    await received(stalled[0] as Socket)
    expect(hall.counters.get('handshakesCrowdedOut')).toBe(1)
    expect(stalled[1]?.readableEnded).toBe(false)
    // A second one needs no waiting while there is room.
    await hall.remote()
  })
})

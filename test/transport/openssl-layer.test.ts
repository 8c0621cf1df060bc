// TLS by native calls of OpenSSL: what is not the same as in the other ways. Everything that is the same is in acceptor.test.ts,
// acceptor-limits.test.ts and certificate-replacement.test.ts, for each way. A wrong address would end this process.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { loadOpenssl } from '#transport/openssl.ts'
import {
  AcceptorHarness,
  certificateSet,
  type AcceptedConnection,
  namedPair,
  received,
} from '../support/acceptor-harness.ts'
import { RecordClient, unreadableRecord } from '../support/tls-records.ts'

let harness: AcceptorHarness
beforeEach(async () => {
  harness = await new AcceptorHarness({ way: 'openssl', tls: 'TLSv1.3' }).open()
})
// Closing asserts that every TLS state has been freed.
afterEach(async () => await harness.close())

it('is used for clients that offer no protocols, and the runtime’s TLS for those that do', async () => {
  await harness.pair()
  expect(harness.opensslCount).toBe(1)
  const withProtocols = await harness.tls({ ALPNProtocols: ['h2', 'http/1.1'] })
  expect(withProtocols.alpnProtocol).toBe('http/1.1')
  expect(harness.opensslCount).toBe(1)
  withProtocols.write('GET')
  await vi.waitFor(() => expect(harness.accepted.at(-1)?.text).toBe('GET'))
  await expect(harness.tls({ ALPNProtocols: ['h2'] })).rejects.toThrow()
})

it('frees the contexts of certificates that are not used any more, and not before their handshakes are over', async () => {
  const { remote, accepted } = await harness.pair()
  for (let i = 0; i < 20; i++) {
    harness.contexts.use(certificateSet([namedPair(`${i}.example`)]))
    ;(await harness.tls({})).destroy()
    expect(harness.openssl?.buffers.memory.contextCount).toBe(1)
  }
  remote.write('still here')
  await vi.waitFor(() => expect(accepted.text).toBe('still here'))
})

it('ends TLS before TCP, whichever side begins', async () => {
  const first = await harness.pair()
  const isEnded = once(first.remote, 'end')
  first.accepted.connection.close()
  first.remote.resume()
  await isEnded
  const second = await harness.pair()
  second.remote.end()
  await received(second.remote)
  await vi.waitFor(() => expect(second.accepted.closedCount).toBe(1))
})

it('a connection may be ended from within the call that brings its bytes, in any way', async () => {
  for (const end of ['destroy', 'close', 'finish'] as const) {
    const { remote, accepted } = await harness.pair()
    accepted.onBytes = () => accepted.connection[end]()
    for (let i = 0; i < 50; i++) remote.write(Buffer.alloc(3_000))
    remote.end()
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
  }
})

it('records of one connection never reach another, however they are cut and whatever breaks', async () => {
  const clients = await pairs(12)
  for (const [at, { accepted }] of clients.entries()) {
    // Each answers what it gets, on its own connection and on the next one: writes within reads.
    const next = clients[(at + 1) % clients.length]?.accepted.connection
    accepted.onBytes = (own) => {
      accepted.connection.write(own, true)
      next?.write(Buffer.from(`<${at}>`), true)
    }
  }
  const answers = clients.map(({ remote }) => collected(remote))
  for (let round = 0; round < 40; round++) {
    for (const [at, { remote, tcp }] of clients.entries()) {
      if (at % 4 === 3 && round === 20) tcp.write(unreadableRecord())
      else if (!tcp.destroyed) remote.write(`${String.fromCodePoint(97 + at)}${round};`)
    }
    await new Promise(setImmediate)
  }
  await vi.waitFor(() => {
    for (const [at, text] of answers.entries()) {
      if (at % 4 === 3) continue
      const letter = String.fromCodePoint(97 + at)
      const before = (at + clients.length - 1) % clients.length
      const own = text().replaceAll(`<${before}>`, '')
      expect(own).toBe(Array.from({ length: 40 }, (_, round) => `${letter}${round};`).join(''))
    }
  })
})

it('a flight of answers that nobody reads ends the connection', async () => {
  const tcp = harness.tcp()
  await once(tcp, 'connect')
  const client = await RecordClient.over(tcp)
  await vi.waitFor(() => expect(harness.accepted.length).toBe(1))
  client.tcp.pause()
  // Without the check of records, which would end it sooner: each of these requests an answer.
  for (let i = 0; i < 400 && harness.accepted[0]?.closedCount === 0; i++) {
    client.sendKeyUpdates(2_000, true)
    await new Promise(setImmediate)
  }
  await vi.waitFor(() => expect(harness.accepted[0]?.closedCount).toBe(1), 10_000)
})

it('a record of false length, or of a false type, ends its connection alone', async () => {
  const good = await harness.pair()
  const broken: Socket[] = []
  for (const bytes of ['170303ffff', '1703030000', '1503030002010a', '1603030005', '000000000000']) {
    const { tcp, accepted } = await harness.pair()
    tcp.write(Buffer.concat([Buffer.from(bytes, 'hex'), Buffer.alloc(70_000, 1)]))
    await vi.waitFor(() => expect(accepted.closedCount).toBe(1))
    broken.push(tcp)
  }
  good.remote.write('here')
  await vi.waitFor(() => expect(good.accepted.text).toBe('here'))
  expect(broken.length).toBe(5)
})

it.each(['-tls1_2', '-tls1_3'])('a client may want records of 512 bytes (%s)', async (version) => {
  const target = ['-connect', `127.0.0.1:${harness.port}`, '-servername', 'localhost', version]
  const client = spawn('openssl', ['s_client', '-quiet', '-maxfraglen', '512', ...target])
  onTestFinished(() => void client.kill('SIGKILL'))
  let receivedBytes = 0
  client.stdout.on('data', (chunk: Buffer) => (receivedBytes += chunk.length))
  await vi.waitFor(() => expect(harness.accepted).toHaveLength(1))
  const { connection } = harness.accepted[0] as AcceptedConnection
  let sentBytes = 0
  // Each is about as long as a buffer of the pool: there is no room for many headers.
  for (const [at, bytes] of [1_900, 8_000, 32_500, 129_900, 500].entries()) {
    connection.write(Buffer.alloc(bytes, 1), true)
    sentBytes += bytes
    await vi.waitFor(() => expect(harness.accepted[0]?.writtenCount).toBe(at + 1))
  }
  await vi.waitFor(() => expect(receivedBytes).toBe(sentBytes))
})

it('a faulty record of an established connection is answered by an alert', async () => {
  const { remote, tcp } = await harness.pair()
  const failure = once(remote, 'error') as Promise<[NodeJS.ErrnoException]>
  tcp.write(unreadableRecord())
  expect((await failure)[0].code).toBe('ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC')
})

it('no session is resumed and no ticket is sent', async () => {
  let count = 0
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await harness.tls({ maxVersion })
    let sessions = 0
    socket.on('session', () => sessions++)
    count++
    await vi.waitFor(() => expect(harness.accepted).toHaveLength(count))
    harness.accepted.at(-1)?.connection.write(Buffer.from('x'), true)
    await once(socket, 'data')
    expect(sessions === 0 || socket.getTLSTicket() === undefined).toBe(true)
    const again = await harness.tls({ maxVersion, session: socket.getSession() })
    expect(again.isSessionReused()).toBe(false)
    count++
    await vi.waitFor(() => expect(harness.accepted).toHaveLength(count))
  }
})

it('a client of TLS 1.2 cannot renegotiate', async () => {
  const socket = await harness.tls({ maxVersion: 'TLSv1.2' })
  const error = await new Promise((resolve) => {
    socket.renegotiate({ rejectUnauthorized: false }, resolve)
    socket.on('error', resolve)
  })
  expect(error).toBeInstanceOf(Error)
})

it('an error that something else has left in OpenSSL’s queue ends no connection', async () => {
  const openssl = await loadOpenssl()
  const { remote, accepted } = await harness.pair()
  accepted.onBytes = () => {
    // A key that is none: the error stays in the queue of this thread.
    openssl.readKey(openssl.newBioOf(Buffer.from('no key'), 6), 0, 0, Buffer.from('\0'))
    expect(openssl.lastError()).not.toBe(0)
  }
  for (let i = 0; i < 20; i++) {
    remote.write(`${i};`)
    await vi.waitFor(() => expect(accepted.text).toContain(`${i};`))
  }
  expect(accepted.closedCount).toBe(0)
})

it('buffers that slow remotes held are used again', async () => {
  const slow = await pairs(5)
  for (const { remote, accepted } of slow) {
    remote.pause()
    accepted.connection.write(Buffer.alloc(100_000), true)
    await vi.waitFor(() => expect(accepted.writtenCount).toBeGreaterThanOrEqual(0))
    for (let i = 0; i < 200 && harness.openssl?.buffers.lentBytes === 0; i++) {
      await new Promise(setImmediate)
      const { writtenCount } = accepted
      if (writtenCount > 0) accepted.connection.write(Buffer.alloc(100_000), true)
    }
  }
  for (const { remote } of slow) remote.resume()
  await vi.waitFor(() => expect(harness.openssl?.buffers.lentBytes).toBe(0))
})

async function pairs(count: number): Promise<Awaited<ReturnType<AcceptorHarness['pair']>>[]> {
  const all = []
  for (let i = 0; i < count; i++) all.push(await harness.pair())
  return all
}

function collected(remote: Socket): () => string {
  let text = ''
  remote.on('data', (chunk: Buffer) => (text += chunk.toString()))
  return () => text
}

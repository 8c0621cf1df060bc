// The HTTP server's limits of time and memory, on a clock that the test advances. Connections are fakes, since none of this is
// about sockets.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { HTTP_HEAD_BYTES_MAX } from '#protocol/http-head.ts'
import { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { LinkListener, RemoteAddress } from '#relay/ports.ts'
import type { Connection } from '#transport/connection.ts'
import { HttpServer } from '#transport/http-server.ts'
import { pageOf } from '#transport/http-pages.ts'
import { FakeClock } from '../support/fake-clock.ts'

const IDLE_TIMEOUT_MS = 120_000
const PROBE = 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\n\r\n'

/** A connection whose remote is the test. */
class FakeConnection implements Connection {
  readonly isWebSocket = false
  readonly remote: RemoteAddress = { ip: new Uint8Array(16), port: 1 }
  isPaused = false
  /** As over TLS while the system has room: each write is reported as written before the event loop's next turn. */
  isWrittenAtOnce = false
  readonly receivedBytes = 0
  readonly sentBytes = 0
  ending: 'close' | 'destroy' | undefined = undefined
  text = ''
  #listener: LinkListener | undefined = undefined

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  /** The remote sends this. */
  send(text: string): void {
    const chunk = Buffer.from(text)
    this.#listener?.receive(chunk, 0, chunk.length)
  }

  /** The system has taken what was written. */
  finishWrite(): void {
    this.#listener?.written()
  }

  /** The remote resets the connection. */
  reset(): void {
    this.#listener?.closed(EndReason.remoteReset)
  }

  write(bytes: Uint8Array): boolean {
    this.text += Buffer.from(bytes).toString('latin1')
    if (this.isWrittenAtOnce) queueMicrotask(() => this.finishWrite())
    return false
  }

  becomeTrunk(): void {}

  readAs(): void {}

  readInTurn(): void {}

  readonly roundTripSeconds = 0

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  finish(): void {}

  close(): void {
    this.ending ??= 'close'
    this.#listener?.closed(EndReason.remoteClosed)
  }

  destroy(): void {
    this.ending ??= 'destroy'
    this.#listener?.closed(EndReason.remoteClosed)
  }
}

class ServerHarness {
  readonly clock = new FakeClock()
  readonly counters = new Counters()
  readonly server = new HttpServer({
    counters: this.counters,
    accepts: undefined,
    mayConnect: () => true,
    upgrades: undefined,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    now: this.clock.now,
    acceptor: () => Promise.reject(new Error('this server does not listen')),
    pageOf: (head) => pageOf(head, { home: { kind: 'page' }, isDerpEnabled: true, bootstrapDns: () => '' }),
  })

  connect(): FakeConnection {
    const connection = new FakeConnection()
    this.server.onConnection(connection)
    return connection
  }

  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(Math.min(left, 250))
      this.server.sweep()
    }
  }
}

describe('a connection is closed', () => {
  it.each([
    ['sends nothing', ''],
    ['sends half a head', 'GET /derp HTTP/1.1\r\n'],
  ])('after 30 seconds, if it %s', (_name, text) => {
    const harness = new ServerHarness()
    const connection = harness.connect()
    connection.send(text)
    harness.advance(29_900)
    expect([connection.ending, harness.counters.get('headsRefused')]).toEqual([undefined, 0])
    harness.advance(300)
    expect([connection.ending, harness.counters.get('headsRefused')]).toEqual(['close', 1])
    expect(connection.text).toMatch(/^HTTP\/1\.1 408 /)
  })

  it.each([
    ['nothing', ''],
    ['half a head', 'GET /derp HTTP/1.1\r\n'],
    ['a request', PROBE],
  ])('only once: nothing is sent or counted after the remote has sent %s and reset it', (_name, text) => {
    const harness = new ServerHarness()
    const connection = harness.connect()
    connection.send(text)
    const answered = connection.text
    connection.reset()
    harness.advance(IDLE_TIMEOUT_MS + 31_000)
    expect([connection.ending, connection.text, harness.counters.get('headsRefused')]).toEqual([
      undefined,
      answered,
      0,
    ])
  })

  it('30 seconds after its first byte, if it sends a head byte by byte', () => {
    const harness = new ServerHarness()
    const connection = harness.connect()
    for (let second = 0; second < 29; second++) {
      connection.send('G')
      harness.advance(1_000)
    }
    expect(connection.ending).toBe(undefined)
    harness.advance(1_500)
    expect(connection.ending).toBe('close')
  })

  it('after 30 seconds, if it does not read an answer; until then nothing more is read of it', () => {
    const harness = new ServerHarness()
    const connection = harness.connect()
    connection.send(PROBE + PROBE + PROBE)
    expect(connection.isPaused).toBe(true)
    expect(connection.text.match(/^HTTP/gm)).toHaveLength(1)
    harness.advance(29_900)
    expect(connection.ending).toBe(undefined)
    harness.advance(300)
    expect(connection.ending).toBe('destroy')
  })

  it('after the idle timeout, which each request starts anew', () => {
    const harness = new ServerHarness()
    const connection = harness.connect()
    for (let request = 0; request < 3; request++) {
      connection.send(PROBE)
      connection.finishWrite()
      expect(connection.isPaused).toBe(false)
      harness.advance(IDLE_TIMEOUT_MS - 300)
      expect(connection.ending).toBe(undefined)
    }
    harness.advance(600)
    expect([connection.ending, connection.text.match(/^HTTP/gm)?.length]).toEqual(['close', 3])
  })

  it('after 30 seconds, if it begins another request and does not finish it', () => {
    const harness = new ServerHarness()
    const connection = harness.connect()
    connection.send(`${PROBE}GET`)
    connection.finishWrite()
    harness.advance(30_300)
    expect(connection.ending).toBe('close')
    expect(connection.text).toMatch(/HTTP\/1\.1 408 /)
  })
})

it('when unfinished heads exceed 16 MiB together, the connection with the oldest is closed', () => {
  const harness = new ServerHarness()
  const half = 'GET / HTTP/1.1\r\nX: '.padEnd(HTTP_HEAD_BYTES_MAX - 1, 'a')
  const connections = Array.from({ length: 1_200 }, () => {
    const connection = harness.connect()
    connection.send(half)
    return connection
  })
  const closed = connections.filter(({ ending }) => ending === 'destroy')
  expect(closed).toHaveLength(1_200 - 1_024)
  expect(closed).toEqual(connections.slice(0, closed.length))
  const late = harness.connect()
  late.send(PROBE)
  expect(late.text).toMatch(/^HTTP\/1\.1 200 /)
})

it('pipelined requests of one connection are answered in turns with those of others, and in the end all of them', async () => {
  const harness = new ServerHarness()
  const connections = Array.from({ length: 40 }, () => harness.connect())
  const answers = (): number =>
    connections.reduce((sum, { text }) => sum + (text.match(/^HTTP/gm)?.length ?? 0), 0)
  for (const connection of connections) {
    connection.isWrittenAtOnce = true
    connection.send(PROBE.repeat(50))
  }
  await nextTurn()
  expect(answers()).toBeLessThan(200)
  const late = harness.connect()
  late.send(PROBE)
  expect(late.text).toMatch(/^HTTP\/1\.1 200 /)
  while (connections.some(({ isPaused }) => isPaused)) await nextTurn()
  expect(answers()).toBe(40 * 50)
})

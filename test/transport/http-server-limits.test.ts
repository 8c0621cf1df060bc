// How long the front door waits for whom, by a clock that the test moves; and what it holds of all together. Connections
// are made up, since none of this is about sockets.

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

/** A connection whose other end the test is. */
class MadeUpCaller implements Connection {
  readonly isWebSocket = false
  readonly remote: RemoteAddress = { ip: new Uint8Array(16), port: 1 }
  isPaused = false
  /** As over TLS, when the system has room: it tells so before the loop's next turn, however often it is asked. */
  isTakenAtOnce = false
  ending: 'close' | 'destroy' | undefined = undefined
  text = ''
  #listener: LinkListener | undefined = undefined

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  say(text: string): void {
    const chunk = Buffer.from(text)
    this.#listener?.receive(chunk, 0, chunk.length)
  }

  /** The system takes what was written. */
  take(): void {
    this.#listener?.written()
  }

  /** Its connection breaks. */
  reset(): void {
    this.#listener?.closed(EndReason.remoteReset)
  }

  write(bytes: Uint8Array): boolean {
    this.text += Buffer.from(bytes).toString('latin1')
    if (this.isTakenAtOnce) queueMicrotask(() => this.take())
    return false
  }

  becomeTrunk(): void {}

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  close(): void {
    this.ending ??= 'close'
    this.#listener?.closed(EndReason.remoteClosed)
  }

  destroy(): void {
    this.ending ??= 'destroy'
    this.#listener?.closed(EndReason.remoteClosed)
  }
}

class Doorstep {
  readonly clock = new FakeClock()
  readonly counters = new Counters()
  readonly door = new HttpServer({
    counters: this.counters,
    isDerpEnabled: true,
    accepts: undefined,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    now: this.clock.now,
    acceptor: () => Promise.reject(new Error('nobody comes in by a socket')),
    accept: () => ({ receive() {}, written() {}, closed() {} }),
    pageOf: (head) => pageOf(head, { home: { kind: 'page' }, isDerpEnabled: true, bootstrapDns: () => '' }),
  })

  enter(): MadeUpCaller {
    const connection = new MadeUpCaller()
    this.door.accepted(connection)
    return connection
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(Math.min(left, 250))
      this.door.sweep()
    }
  }
}

describe('somebody is waited for', () => {
  it.each([
    ['who says nothing', ''],
    ['whose head never ends', 'GET /derp HTTP/1.1\r\n'],
  ])('%s: 30 seconds', (_name, text) => {
    const step = new Doorstep()
    const connection = step.enter()
    connection.say(text)
    step.pass(29_900)
    expect([connection.ending, step.counters.get('headsRefused')]).toEqual([undefined, 0])
    step.pass(300)
    expect([connection.ending, step.counters.get('headsRefused')]).toEqual(['close', 1])
    expect(connection.text).toMatch(/^HTTP\/1\.1 408 /)
  })

  it.each([
    ['nothing', ''],
    ['half a head', 'GET /derp HTTP/1.1\r\n'],
    ['a request', PROBE],
  ])('nobody who has left after %s: no more is said or counted', (_name, text) => {
    const step = new Doorstep()
    const connection = step.enter()
    connection.say(text)
    const said = connection.text
    connection.reset()
    step.pass(IDLE_TIMEOUT_MS + 31_000)
    expect([connection.ending, connection.text, step.counters.get('headsRefused')]).toEqual([
      undefined,
      said,
      0,
    ])
  })

  it('who says a head byte by byte: 30 seconds in all', () => {
    const step = new Doorstep()
    const connection = step.enter()
    for (let second = 0; second < 29; second++) {
      connection.say('G')
      step.pass(1_000)
    }
    expect(connection.ending).toBe(undefined)
    step.pass(1_500)
    expect(connection.ending).toBe('close')
  })

  it('who does not take an answer: 30 seconds, and nothing more is read', () => {
    const step = new Doorstep()
    const connection = step.enter()
    connection.say(PROBE + PROBE + PROBE)
    expect(connection.isPaused).toBe(true)
    expect(connection.text.match(/^HTTP/gm)).toHaveLength(1)
    step.pass(29_900)
    expect(connection.ending).toBe(undefined)
    step.pass(300)
    expect(connection.ending).toBe('destroy')
  })

  it('who was served: as long as a proxy keeps a connection, and again from the next request on', () => {
    const step = new Doorstep()
    const connection = step.enter()
    for (let request = 0; request < 3; request++) {
      connection.say(PROBE)
      connection.take()
      expect(connection.isPaused).toBe(false)
      step.pass(IDLE_TIMEOUT_MS - 300)
      expect(connection.ending).toBe(undefined)
    }
    step.pass(600)
    expect([connection.ending, connection.text.match(/^HTTP/gm)?.length]).toEqual(['close', 3])
  })

  it('who was served and begins a request: 30 seconds', () => {
    const step = new Doorstep()
    const connection = step.enter()
    connection.say(`${PROBE}GET`)
    connection.take()
    step.pass(30_300)
    expect(connection.ending).toBe('close')
    expect(connection.text).toMatch(/HTTP\/1\.1 408 /)
  })
})

it('of those whose heads are unfinished, the oldest goes when all hold more than 16 MiB', () => {
  const step = new Doorstep()
  const half = 'GET / HTTP/1.1\r\nX: '.padEnd(HTTP_HEAD_BYTES_MAX - 1, 'a')
  const connections = Array.from({ length: 1_200 }, () => {
    const connection = step.enter()
    connection.say(half)
    return connection
  })
  const gone = connections.filter(({ ending }) => ending === 'destroy')
  expect(gone).toHaveLength(1_200 - 1_024)
  expect(gone).toEqual(connections.slice(0, gone.length))
  const late = step.enter()
  late.say(PROBE)
  expect(late.text).toMatch(/^HTTP\/1\.1 200 /)
})

it('whose requests come all at once is answered in turns with the others, and in the end whole', async () => {
  const step = new Doorstep()
  const connections = Array.from({ length: 40 }, () => step.enter())
  const answers = (): number =>
    connections.reduce((sum, { text }) => sum + (text.match(/^HTTP/gm)?.length ?? 0), 0)
  for (const connection of connections) {
    connection.isTakenAtOnce = true
    connection.say(PROBE.repeat(50))
  }
  await nextTurn()
  expect(answers()).toBeLessThan(200)
  const late = step.enter()
  late.say(PROBE)
  expect(late.text).toMatch(/^HTTP\/1\.1 200 /)
  while (connections.some(({ isPaused }) => isPaused)) await nextTurn()
  expect(answers()).toBe(40 * 50)
})

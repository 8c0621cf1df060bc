// HTTP on the DERP port: unusual heads, several requests on one connection, and how connections end. Which page is where is
// http-pages.test.ts, upgrades are upgrade-handler.test.ts, limits of time and memory are http-server-limits.test.ts.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { webSocketRequest } from '#client/http-answer.ts'
import { HTTP_HEAD_BYTES_MAX } from '#protocol/http-head.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { RawSocket } from '../support/raw-socket.ts'

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ certificate: undefined })
})
afterAll(async () => await relay[Symbol.asyncDispose]())

/** All that the relay sends in answer to `text`, up to the end of the connection. */
async function answerTo(text: string): Promise<string> {
  const socket = await RawSocket.plain(relay.port)
  socket.send(text)
  return (await socket.ended()).toString('latin1')
}

describe('HEAD is answered with no body', () => {
  it.each(['/', '/derp', '/robots.txt', '/debug/', '/bootstrap-dns', '/derp/probe'])('%s', async (path) => {
    const fields = 'HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
    const lengthOf = (answer: string): string | undefined => /^content-length: *(\d+)/im.exec(answer)?.[1]
    const [get, head] = [await answerTo(`GET ${path} ${fields}`), await answerTo(`HEAD ${path} ${fields}`)]
    expect(head.slice(head.indexOf('\r\n\r\n') + 4)).toBe('')
    expect(lengthOf(head)).toBe(lengthOf(get))
  })
})

it('announces once that it closes the connection', async () => {
  const answer = await answerTo('GET /bootstrap-dns HTTP/1.1\r\nHost: localhost\r\n\r\n')
  expect(answer.match(/^connection: close$/gim)).toHaveLength(1)
})

describe('HTTP/1.0 is served, and the connection closed', () => {
  it.each([
    ['with a Host', 'GET /derp/probe HTTP/1.0\r\nHost: localhost\r\n\r\n'],
    ['without Host, as health checks send it', 'GET /derp/probe HTTP/1.0\r\n\r\n'],
    ['that asks for keep-alive', 'GET /derp/probe HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'],
  ])('%s', async (_name, request) => {
    expect(await answerTo(request)).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  })
})

describe('a head that no answer could be right for is refused', () => {
  it.each([
    ['no Host', 'GET /derp/probe HTTP/1.1\r\n\r\n'],
    ['no Host, for DERP', 'GET /derp HTTP/1.1\r\nUpgrade: DERP\r\n\r\n'],
    ['a space in a name', 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\nX-Name : value\r\n\r\n'],
  ])('%s', async (_name, request) => {
    expect(await answerTo(request)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  })
})

/** A head of exactly so many bytes. */
function headOf(bytes: number, request: string): string {
  const [before, after] = [`${request}X-Fill: `, '\r\n\r\n']
  return before + 'a'.repeat(bytes - before.length - after.length) + after
}

const PROBE = 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\n'
const DERP = 'GET /derp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n'
const WEB_SOCKET = Buffer.from(webSocketRequest('localhost', '/derp', randomBytes(16).toString('base64')))
  .toString()
  .replace(/\r\n$/, '')

describe('a head may have 16,384 bytes and no more, however they arrive', () => {
  const limits = [
    [HTTP_HEAD_BYTES_MAX - 1, true],
    [HTTP_HEAD_BYTES_MAX, true],
    [HTTP_HEAD_BYTES_MAX + 1, false],
    [60_000, false],
  ] as const
  const requests = [
    ['for a page', PROBE, /^HTTP\/1\.1 200 /],
    ['for DERP', DERP, /^HTTP\/1\.1 101 /],
    ['for a WebSocket', WEB_SOCKET, /^HTTP\/1\.1 101 /],
  ] as const
  const cases = limits.flatMap(([bytes, isAccepted]) =>
    requests.flatMap(([what, request, answer]) =>
      [60_000, 1_000, 1].map((piece) => ({ bytes, isAccepted, what, request, answer, piece })),
    ),
  )
  it.each(cases)(
    '$bytes bytes $what, $piece at a time',
    async ({ bytes, isAccepted, piece, request, answer }) => {
      const socket = await RawSocket.plain(relay.port)
      const head = headOf(bytes, request)
      for (let at = 0; at < head.length && !socket.isEnded; at += piece) {
        socket.send(head.slice(at, at + piece))
        // So that a few pieces at least reach the relay as separate reads.
        if (at % (97 * piece) === 0) await new Promise((resolve) => void setImmediate(resolve))
      }
      const received = (await socket.atLeast(12)).toString('latin1')
      expect(received).toMatch(isAccepted ? answer : /^HTTP\/1\.1 431 /)
      if (!isAccepted) await socket.ended()
      socket.destroy()
    },
  )

  it('also as a later request of a connection', async () => {
    for (const [bytes, isAccepted] of limits) {
      const answer = await answerTo(`${PROBE}\r\n${headOf(bytes, `${PROBE}Connection: close\r\n`)}`)
      expect(answer.match(/^HTTP.*$/gm)).toEqual([
        'HTTP/1.1 200 OK',
        isAccepted ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 431 Request Header Fields Too Large',
      ])
    }
  })

  it.each([
    [99, 200],
    [100, 200],
    [101, 400],
  ])('and %i fields are answered with %i', async (count, status) => {
    const fields = Array.from({ length: count - 2 }, (_, at) => `X-${at}: a\r\n`).join('')
    const answer = await answerTo(`${PROBE}Connection: close\r\n${fields}\r\n`)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  })
})

describe('a connection carries one request after another', () => {
  it('and answers all pipelined requests, in order', async () => {
    const paths = ['/derp/probe', '/generate_204', '/robots.txt', '/derp']
    const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join('')
    const answer = await answerTo(requests + PROBE.replace('GET', 'HEAD') + 'Connection: close\r\n\r\n')
    expect(answer.match(/^HTTP\S+ \d+/gm)).toEqual(
      [200, 204, 200, 426, 200].map((status) => `HTTP/1.1 ${status}`),
    )
  })

  it.each([
    ['a body', 'Content-Length: 20\r\n\r\nGET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a body in chunks', 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    [
      'two lengths',
      'Content-Length: 0\r\nContent-Length: 5\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    ],
  ])('but is closed after a request with %s, no part of which is read as a request', async (_name, rest) => {
    const answer = await answerTo(`POST /derp/probe HTTP/1.1\r\nHost: localhost\r\n${rest}`)
    expect(answer.match(/^HTTP\S+ \d+/gm)).toEqual(['HTTP/1.1 405'])
    expect(answer).toMatch(/^Connection: close\r$/m)
  })

  it.each(['plain', 'TLS'])('and answers all requests after a half-close, over %s', async (port) => {
    await using tls = await LiveRelay.start()
    const socket = port === 'TLS' ? await RawSocket.tls(tls.port) : await RawSocket.plain(relay.port)
    socket.socket.end(`${PROBE}\r\n${PROBE}\r\n${PROBE}\r\n`)
    const answers = (await socket.ended()).toString('latin1')
    expect(answers.match(/^HTTP\/1\.1 200 OK\r$/gm)).toHaveLength(3)
  })
})

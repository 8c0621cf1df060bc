// HTTP at the front door, beyond which page is where: unusual heads, many requests on a connection, and their ends.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { webSocketRequest } from '#client/http-answer.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { HTTP_HEAD_BYTES_MAX } from '#protocol/http-head.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { Opcode, webSocketFrame } from '../support/player.ts'
import { RawSocket } from '../support/raw-socket.ts'

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ certificate: undefined })
})
afterAll(async () => await relay[Symbol.asyncDispose]())

/** Everything that is answered to some bytes, up to the end of the connection. */
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

it('says once that it closes', async () => {
  const answer = await answerTo('GET /bootstrap-dns HTTP/1.1\r\nHost: localhost\r\n\r\n')
  expect(answer.match(/^connection: close$/gim)).toHaveLength(1)
})

describe('HTTP/1.0 is served, and the connection closed', () => {
  it.each([
    ['with a Host', 'GET /derp/probe HTTP/1.0\r\nHost: localhost\r\n\r\n'],
    ['without one, as health checks do it', 'GET /derp/probe HTTP/1.0\r\n\r\n'],
    ['that would be kept alive', 'GET /derp/probe HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'],
  ])('%s', async (_name, request) => {
    expect(await answerTo(request)).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  })

  it('but is no WebSocket', async () => {
    const request = Buffer.from(webSocketRequest('localhost', '/derp', randomBytes(16).toString('base64')))
    expect(await answerTo(request.toString().replace('HTTP/1.1', 'HTTP/1.0'))).not.toContain(' 101 ')
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

it('bytes behind a WebSocket handshake are the beginning of the stream', async () => {
  const key = newKeyPair()
  const box = new BoxSecret(key.privateKey).agree(relay.settings.nodeKey.publicKey)
  if (box === undefined) throw new Error('no box')
  const login = clientInfoFrame(key.publicKey, {}, box, randomBytes(24))
  const request = webSocketRequest('localhost', '/derp', randomBytes(16).toString('base64'))
  const socket = await RawSocket.plain(relay.port)
  socket.send(Buffer.concat([request, webSocketFrame(Opcode.binary, login)]))
  // ServerKey and ServerInfo, in one message with a header of two bytes.
  const wantedBytes = (await socket.atLeast(1)).indexOf('\r\n\r\n') + 4 + 2 + 45 + 58
  expect(await socket.atLeast(wantedBytes)).toHaveLength(wantedBytes)
  socket.destroy()
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
  const cases = limits.flatMap(([bytes, isTaken]) =>
    requests.flatMap(([what, request, answer]) =>
      [60_000, 1_000, 1].map((piece) => ({ bytes, isTaken, what, request, answer, piece })),
    ),
  )
  it.each(cases)(
    '$bytes bytes $what, $piece at a time',
    async ({ bytes, isTaken, piece, request, answer }) => {
      const socket = await RawSocket.plain(relay.port)
      const head = headOf(bytes, request)
      for (let at = 0; at < head.length && !socket.isEnded; at += piece) {
        socket.send(head.slice(at, at + piece))
        // So that pieces are pieces to the relay as well, a few at least.
        if (at % (97 * piece) === 0) await new Promise((resolve) => void setImmediate(resolve))
      }
      const got = (await socket.atLeast(12)).toString('latin1')
      expect(got).toMatch(isTaken ? answer : /^HTTP\/1\.1 431 /)
      if (!isTaken) await socket.ended()
      socket.destroy()
    },
  )

  it('also as a later request of a connection', async () => {
    for (const [bytes, isTaken] of limits) {
      const answer = await answerTo(`${PROBE}\r\n${headOf(bytes, `${PROBE}Connection: close\r\n`)}`)
      expect(answer.match(/^HTTP.*$/gm)).toEqual([
        'HTTP/1.1 200 OK',
        isTaken ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 431 Request Header Fields Too Large',
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
  it('and answers all that came at once, in order', async () => {
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
  ])('but ends after a request with %s, and takes no part of it for a request', async (_name, rest) => {
    const answer = await answerTo(`POST /derp/probe HTTP/1.1\r\nHost: localhost\r\n${rest}`)
    expect(answer.match(/^HTTP\S+ \d+/gm)).toEqual(['HTTP/1.1 405'])
    expect(answer).toMatch(/^Connection: close\r$/m)
  })

  it.each(['plain', 'TLS'])('and who half-closes over %s gets all answers', async (way) => {
    await using tls = await LiveRelay.start()
    const socket = way === 'TLS' ? await RawSocket.tls(tls.port) : await RawSocket.plain(relay.port)
    socket.socket.end(`${PROBE}\r\n${PROBE}\r\n${PROBE}\r\n`)
    const answers = (await socket.ended()).toString('latin1')
    expect(answers.match(/^HTTP\/1\.1 200 OK\r$/gm)).toHaveLength(3)
  })
})

describe('an upgrade is taken at any border between requests', () => {
  const before = [
    ['a latency check', `${PROBE}\r\n`],
    [
      'several requests',
      `${PROBE}\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /derp HTTP/1.1\r\nHost: a\r\n\r\n`,
    ],
    ['a POST without a body', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n'],
  ] as const
  const cases = before.flatMap(([what, requests]) =>
    (['plain', 'TLS'] as const).flatMap((way) =>
      ['apart', 'in one'].map((how) => ({ what, requests, way, how })),
    ),
  )

  it.each(cases)('behind $what, over $way, $how', async ({ requests, way, how }) => {
    await using own =
      way === 'TLS' ? await LiveRelay.start() : await LiveRelay.start({ certificate: undefined })
    const socket = way === 'TLS' ? await RawSocket.tls(own.port) : await RawSocket.plain(own.port)
    const key = newKeyPair()
    const box = new BoxSecret(key.privateKey).agree(own.settings.nodeKey.publicKey)
    if (box === undefined) throw new Error('no box')
    const login = clientInfoFrame(key.publicKey, {}, box, randomBytes(24))
    if (how === 'in one') {
      socket.send(Buffer.concat([Buffer.from(`${requests}${DERP}\r\n`), login]))
    } else {
      for (const request of requests.split(/(?<=\r\n\r\n)/)) {
        const had = socket.received.length
        socket.send(request)
        await socket.atLeast(had + 20)
      }
      socket.send(`${DERP}\r\n`)
      await expect.poll(() => socket.received.includes(' 101 ')).toBe(true)
      socket.send(login)
    }
    // ServerKey, and ServerInfo as the proof that the login was read.
    await expect
      .poll(() => {
        const at = socket.received.indexOf('DERP\u{1f511}')
        return at > 0 && socket.received.length === at - 5 + 45 + 58
      })
      .toBe(true)
    socket.destroy()
  })

  it('for a WebSocket, too', async () => {
    const socket = await RawSocket.plain(relay.port)
    socket.send(`${PROBE}\r\n${WEB_SOCKET}\r\n`)
    await expect.poll(() => socket.received.includes('DERP\u{1f511}')).toBe(true)
    socket.destroy()
  })
})

// HTTP at the front door, beyond which page is where: unusual heads, many requests on a connection, and their ends.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { webSocketRequest } from '#client/http-answer.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
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

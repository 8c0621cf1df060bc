// The protocol that an HTTP request asks for, as a table, and the native request and answer byte for byte.

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { parseHttpHead } from '#protocol/http-head.ts'
import {
  switchingProtocols,
  upgradeRequest,
  type RequestedProtocol,
  requestedProtocol,
} from '#protocol/upgrade.ts'
import { server } from '../vectors/keys.ts'
import * as login from '../vectors/login.ts'

/** The requested protocol of a request, given as its first line and fields. */
function requested(...lines: string[]): RequestedProtocol {
  const bytes = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)
  const head = parseHttpHead(bytes, 0, bytes.length)
  if (head === undefined) throw new Error(`no HTTP head: ${lines.join(' | ')}`)
  return requestedProtocol(head)
}

const native: RequestedProtocol = { kind: 'derp', isFastStart: false, idealNode: '' }
const http: RequestedProtocol = { kind: 'http' }
const get = 'GET /derp HTTP/1.1'

it('writes the 101 answer byte for byte', () => {
  expect(Buffer.from(switchingProtocols(server.publicKey)).toString()).toBe(login.switchingProtocols)
})

it('writes the native request byte for byte, without and with fast start', () => {
  const plain = upgradeRequest('derp1.example.com', { isFastStart: false })
  expect(Buffer.from(plain).toString()).toBe(login.request)
  const fast = upgradeRequest('derp1.example.com', { isFastStart: true, idealNode: login.fastStartIdealNode })
  expect(Buffer.from(fast).toString()).toBe(login.fastStartRequest)
})

it('reads the native requests of the vectors', () => {
  expect(requested(...login.request.trimEnd().split('\r\n'))).toEqual(native)
  expect(requested(...login.fastStartRequest.trimEnd().split('\r\n'))).toEqual({
    kind: 'derp',
    isFastStart: true,
    idealNode: '900a',
  })
})

it.each(['DERP', 'derp', 'DeRp'])('reads Upgrade: %s as DERP', (upgrade) => {
  expect(requested(get, `Upgrade: ${upgrade}`)).toEqual(native)
})

it.each(['websocket', 'WebSocket'])('reads Upgrade: %s without a subprotocol as raw DERP', (upgrade) => {
  expect(requested(get, `Upgrade: ${upgrade}`, 'Derp-Fast-Start: 1')).toEqual({
    ...native,
    isFastStart: true,
  })
  expect(requested(get, `Upgrade: ${upgrade}`, 'Sec-WebSocket-Protocol: chat')).toEqual(native)
})

it.each(['derp', 'chat, derp', 'derpy', 'xderp'])('reads the subprotocol %s as a WebSocket', (name) => {
  expect(requested(get, 'Upgrade: websocket', `Sec-WebSocket-Protocol: ${name}`)).toEqual({
    kind: 'webSocket',
  })
})

it('reads Upgrade: DERP as DERP with any WebSocket fields', () => {
  expect(requested(get, 'Upgrade: DERP', 'Sec-WebSocket-Protocol: derp')).toEqual(native)
})

it.each([
  [[get]],
  [[get, 'Upgrade:']],
  [[get, 'Upgrade: h2c']],
  [[get, 'Upgrade: DERP, websocket']],
  [[get, 'Upgrade: derp/2']],
  [['GET / HTTP/1.1', 'Upgrade: DERP']],
  [['GET /derp/ HTTP/1.1', 'Upgrade: DERP']],
  [['GET /DERP HTTP/1.1', 'Upgrade: DERP']],
  [['GET /derp/probe HTTP/1.1', 'Upgrade: DERP']],
  [['GET //derp HTTP/1.1', 'Upgrade: DERP']],
])('leaves %j to the HTTP server', (lines) => {
  expect(requested(...lines)).toEqual(http)
})

it.each([
  ['1', true],
  ['0', false],
  ['true', false],
  ['', false],
  ['11', false],
  ['01', false],
  ['1, 1', false],
])('reads Derp-Fast-Start: %s as fast start: %s', (value, isFastStart) => {
  expect(requested(get, 'Upgrade: DERP', `Derp-Fast-Start: ${value}`)).toEqual({ ...native, isFastStart })
})

it('reads the name of the ideal node', () => {
  expect(requested(get, 'Upgrade: DERP', 'ideal-node: 900a ')).toEqual({ ...native, idealNode: '900a' })
})

it.each([
  'POST /derp HTTP/1.1',
  'GET /derp HTTP/1.0',
  'GET /derp?x=/other HTTP/1.1',
  'GET https://derp1.example.com/derp HTTP/1.1',
  'GET https://derp1.example.com:8443/derp?x HTTP/1.1',
])('accepts "%s": method, version, host and query do not matter', (firstLine) => {
  expect(requested(firstLine, 'Upgrade: DERP')).toEqual(native)
})

it('the WebSocket vector is that of RFC 6455', () => {
  const { key, accept } = login.webSocketHandshake
  const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  expect(
    createHash('sha1')
      .update(key + guid)
      .digest('base64'),
  ).toBe(accept)
})

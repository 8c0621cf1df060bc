// Finds and splits one HTTP head in a stream that continues with other bytes. The protocol that a request asks for is
// tested in upgrade.test.ts.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead } from '#protocol/http-head.ts'
import { upgradeRequest, requestedProtocol } from '#protocol/upgrade.ts'
import { clientInfo, fastStartRequest, request, switchingProtocols } from '../vectors/login.ts'
import { bytesFrom, damaged } from './arbitraries.ts'

const whole = Buffer.from(fastStartRequest)

function parse(text: string) {
  const bytes = Buffer.from(text, 'latin1')
  return parseHttpHead(bytes, 0, bytes.length)
}

it('finds the end of a head at its last byte', () => {
  const stream = Buffer.concat([whole, clientInfo.frame])
  for (let arrived = 0; arrived <= stream.length; arrived++) {
    const expected = arrived < whole.length ? -1 : whole.length
    expect(httpHeadEnd(stream.subarray(0, arrived), 0, arrived)).toBe(expected)
    expect(httpHeadEnd(stream, 0, arrived)).toBe(expected)
  }
})

it('finds the end of a head of only line ends', () => {
  for (const text of ['\n\n', '\n\r\n', '\r\n\r\n']) {
    expect(httpHeadEnd(Buffer.from(`${text}\n`), 0, text.length + 1)).toBe(text.length)
  }
})

it('reads only between start and end of a shared buffer', () => {
  const shared = Buffer.concat([Buffer.from('\r\n\r\n\n\n'), whole, Buffer.from('\r\n\r\n')])
  expect(httpHeadEnd(shared, 6, shared.length)).toBe(6 + whole.length)
  expect(httpHeadEnd(shared, 6, 6 + whole.length - 1)).toBe(-1)
  expect(parseHttpHead(shared, 6, 6 + whole.length)).toEqual(parse(fastStartRequest))
})

it('finds the end of any head, with any bytes behind it and either line end', () => {
  const someLine = fc.stringMatching(/^[!-~][ -~]{0,30}$/)
  const someEnd = fc.constantFrom('\n', '\r\n')
  fc.assert(
    fc.property(
      fc.array(fc.tuple(someLine, someEnd), { minLength: 1, maxLength: 8 }),
      someEnd,
      fc.integer(),
      fc.nat(70),
      (lines, lastEnd, seed, behind) => {
        const head = Buffer.from(lines.flat().join('') + lastEnd)
        const stream = Buffer.concat([head, bytesFrom(seed, behind)])
        expect(httpHeadEnd(stream, 0, stream.length)).toBe(head.length)
        expect(httpHeadEnd(stream, 0, head.length - 1)).toBe(-1)
      },
    ),
  )
})

it('splits the native request into first line and fields', () => {
  const head = parse(fastStartRequest)
  expect(head?.firstLine).toEqual(['GET', '/derp', 'HTTP/1.1'])
  expect(Object.fromEntries(head?.fields ?? [])).toEqual({
    host: 'derp1.example.com',
    'user-agent': 'Go-http-client/1.1',
    connection: 'Upgrade',
    'derp-fast-start': '1',
    'ideal-node': '900a',
    upgrade: 'DERP',
  })
})

it('splits the answer', () => {
  const head = parse(switchingProtocols)
  expect(head?.firstLine).toEqual(['HTTP/1.1', '101', 'Switching Protocols'])
  expect(head?.fields.get('derp-version')).toBe('2')
  expect(parse('HTTP/1.1 200\r\n\r\n')?.firstLine).toEqual(['HTTP/1.1', '200', ''])
})

it('keeps the first of repeated fields, trims values and keeps colons in them', () => {
  const head = parse('GET / HTTP/1.1\r\nA: 1\r\na: 2\r\nB:\t x:y \r\nC:\r\n\r\n')
  expect(Object.fromEntries(head?.fields ?? [])).toEqual({ a: '1', b: 'x:y', c: '' })
})

it.each([
  '\r\n\r\n',
  'GET\r\n\r\n',
  ' GET / HTTP/1.1\r\n\r\n',
  'GET / HTTP/1.1\r\nno colon\r\n\r\n',
  'GET / HTTP/1.1\r\n: no name\r\n\r\n',
  'GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n',
  `GET / HTTP/1.1\r\n${'A: 1\r\n'.repeat(101)}\r\n`,
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n',
])('rejects %j, which is no head', (text) => {
  expect(parse(text)).toBeUndefined()
})

it('accepts a hundred fields', () => {
  const lines = Array.from({ length: 100 }, (_, i) => `Field-${i}: ${i}\r\n`)
  expect(parse(`GET / HTTP/1.1\r\n${lines.join('')}\r\n`)?.fields.size).toBe(100)
})

it('splits damaged heads into a first line and fields, or not at all', () => {
  const samples = [fastStartRequest, request, switchingProtocols].map((text) => Buffer.from(text))
  fc.assert(
    fc.property(damaged(...samples), (bytes) => {
      const end = httpHeadEnd(bytes, 0, bytes.length)
      expect(end).toBeLessThanOrEqual(bytes.length)
      if (end >= 0) expect(bytes.toString('latin1', 0, end)).toMatch(/\n\r?\n$/)
      const head = parseHttpHead(bytes, 0, end < 0 ? bytes.length : end)
      if (head === undefined) return
      for (const name of head.fields.keys()) expect(name).toMatch(/^[^\n:A-Z]+$/)
      const requested = requestedProtocol(head)
      if (requested.kind === 'derp') expect(bytes.toString('latin1')).toMatch(/derp|websocket/i)
    }),
    { numRuns: 2_000 },
  )
})

it('reads the longest head of the worst forms in bounded time', () => {
  for (const unit of ['\n', '\r', ' ', 'a', ':', 'a: b\r\n', '\r\r\n', 'GET ']) {
    const bytes = Buffer.alloc(HTTP_HEAD_BYTES_MAX, unit)
    const end = httpHeadEnd(bytes, 0, bytes.length)
    const head = parseHttpHead(bytes, 0, bytes.length)
    expect(end === -1 || unit === '\n').toBe(true)
    expect(head === undefined || unit === 'GET ').toBe(true)
  }
})

it('reads its own requests', () => {
  fc.assert(
    fc.property(
      fc.domain(),
      fc.boolean(),
      fc.option(fc.stringMatching(/^[a-z0-9-]{1,20}$/)),
      (host, isFastStart, node) => {
        const idealNode = node ?? undefined
        const bytes = Buffer.from(
          upgradeRequest(host, { isFastStart, ...(node === null ? {} : { idealNode: node }) }),
        )
        expect(httpHeadEnd(bytes, 0, bytes.length)).toBe(bytes.length)
        const head = parseHttpHead(bytes, 0, bytes.length)
        expect(head?.fields.get('host')).toBe(host)
        expect(head && requestedProtocol(head)).toEqual({
          kind: 'derp',
          isFastStart,
          idealNode: idealNode ?? '',
        })
      },
    ),
  )
})

// The manners of back ends that the verify request is tried against, each with what derper's client makes of it. Paths of
// one server; what is asked for is part of some answers, so that a request that differs is a verdict that differs.

import { gzipSync } from 'node:zlib'
import type { Asked, Manner } from './raw-servers.ts'

const ok = (body: string, ...headers: readonly string[]): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${headers.map((one) => `${one}\r\n`).join('')}\r\n${body}`
const status = (code: number, body = '', ...headers: readonly string[]): string =>
  ok(body, ...headers).replace('200 OK', `${code} Whatever`)
const to =
  (code: number, location: string): Manner =>
  () =>
    status(code, '', `Location: ${location}`)
const says =
  (body: string): Manner =>
  () =>
    ok(body)
const allowIf =
  (fits: (asked: Asked) => boolean): Manner =>
  (asked) =>
    ok(JSON.stringify({ Allow: fits(asked) }))
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
const zipped = (body: string): string => gzipSync(body).toString('latin1')

const isQuestion = ({ method, body }: Asked): boolean => method === 'POST' && body.includes('NodePublic')

export const manners: Readonly<Record<string, Manner>> = {
  '/allow': allowIf(isQuestion),
  '/deny': says('{"Allow":false}'),
  '/empty-object': says('{}'),
  '/empty': says(''),
  '/lower-case': says('{"allow":true}'),
  '/odd-case': says('{"aLLoW":true}'),
  '/last-wins': says('{"Allow":true,"allow":false}'),
  '/last-wins-too': says('{"allow":false,"Allow":true}'),
  '/null-is-no-value': says('{"Allow":true,"Allow":null}'),
  '/a-text': says('{"Allow":"true"}'),
  '/a-number': says('{"Allow":1}'),
  '/text-then-true': says('{"Allow":"x","Allow":true}'),
  '/nested': says('{"More":{"Allow":true},"List":["Allow",true]}'),
  '/nested-before': says('{"More":{"a":["]}"]},"Allow":true}'),
  '/rest-is-not-read': says('{"Allow":true} and whatever else'),
  '/blanks-first': says(' \n\r\t {"Allow" : true }'),
  '/byte-order-mark': says('\xef\xbb\xbf{"Allow":true}'),
  '/array': says('[{"Allow":true}]'),
  '/null': says('null'),
  '/true': says('true'),
  '/html': says('<html>'),
  '/comma': says('{"Allow":true,}'),
  '/cut-at-4096': says(`{"Allow":true,"more":"${'x'.repeat(5_000)}"}`),
  '/long-behind': says(`{"Allow":true}${' '.repeat(9_000)}`),
  '/just-fits': says(`{"Allow":true,"m":"${'x'.repeat(4_096 - 21)}"}`),
  '/one-too-long': says(`{"Allow":true,"m":"${'x'.repeat(4_096 - 20)}"}`),
  '/never-ends': () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{"Allow":true}\r\n',
  '/chunks': () =>
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"Allow\r\n7\r\n":true}\r\n0\r\n\r\n',
  '/breaks-off-behind': (_asked, socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"Allow":true}')
    return undefined
  },
  '/breaks-off-inside': (_asked, socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"Allow":tr')
    return undefined
  },
  '/no-body-comes': () => 'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n',
  '/204': () => 'HTTP/1.1 204 No Content\r\n\r\n',
  '/201': () => status(201, '{"Allow":true}'),
  '/403': () => status(403, '{"Allow":true}'),
  '/500': () => status(500, '{"Allow":true}'),
  '/101': () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
  '/early-hints': () => `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${ok('{"Allow":true}')}`,
  '/http-1.0': (_asked, socket) => {
    socket.end('HTTP/1.0 200 OK\r\n\r\n{"Allow":true}')
    return undefined
  },
  '/bare-line-ends': () => 'HTTP/1.1 200 OK\nContent-Length: 14\n\n{"Allow":true}',
  '/no-reason': () => 'HTTP/1.1 200\r\nContent-Length: 14\r\n\r\n{"Allow":true}',
  '/long-headers': () => ok('{"Allow":true}', `X-Long: ${'x'.repeat(100_000)}`),
  '/garbage': () => 'what is this?\r\n\r\n',
  '/closes': (_asked, socket) => void socket.destroy(),
  '/silent': () => undefined,
  '/gzip': () => ok(zipped('{"Allow":true}'), 'Content-Encoding: gzip'),
  '/gzip-upper-case': () => ok(zipped('{"Allow":true}'), 'Content-Encoding: GZIP'),
  '/gzip-that-is-none': () => ok('{"Allow":true}', 'Content-Encoding: gzip'),
  '/deflate': () => ok('{"Allow":true}', 'Content-Encoding: deflate'),
  '/gzip-long': () =>
    ok(zipped(`{"Allow":true,"more":"${'x'.repeat(1_000_000)}"}`), 'Content-Encoding: gzip'),
  '/wants-no-type': allowIf(({ headers }) => headers['content-type'] === undefined),
  '/wants-gzip': allowIf(({ headers }) => headers['accept-encoding'] === 'gzip'),
  '/wants-host': (asked, _socket, base) => ok(`{"Allow":${`http://${asked.headers['host']}` === base}}`),
  '/wants-length': allowIf(({ headers, body }) => headers['content-length'] === String(body.length)),
  '/wants-alice': allowIf(({ headers }) => headers['authorization'] === basic('alice:p@ss word')),
  '/wants-alice-alone': allowIf(({ headers }) => headers['authorization'] === basic('alice:')),
  '/wants-nobody': allowIf(({ headers }) => headers['authorization'] === undefined),
  '/wants-get': allowIf(
    ({ method, headers, body }) => method === 'GET' && body === '' && headers['content-length'] === undefined,
  ),
  '/wants-referer': allowIf(({ headers }) => headers['referer']?.endsWith('/to-wants-referer') === true),
  '/wants-query': allowIf(({ target }) => target === '/wants-query?a=b&c=%20d'),
  '/wants%2Fescapes': allowIf(({ target }) => target === '/wants%2Fescapes'),
  '/wants%20blank': allowIf(({ target }) => target === '/wants%20blank'),
  '/wants/../dots': allowIf(({ target }) => target === '/wants/../dots'),
  '/': allowIf(({ target }) => target === '/'),
  '/301': to(301, '/wants-get'),
  '/302': to(302, '/wants-get'),
  '/303': to(303, '/wants-get'),
  '/307': to(307, '/allow'),
  '/308': to(308, '/allow'),
  '/300': to(300, '/allow'),
  '/304': to(304, '/allow'),
  '/303-then-307': to(303, '/307-to-get'),
  '/307-to-get': to(307, '/wants-get'),
  '/deep/er/relative': to(307, '../../allow'),
  '/beside': to(307, 'allow'),
  '/query-alone': ({ target }) =>
    target.endsWith('?yes') ? ok('{"Allow":true}') : status(307, '', 'Location: ?yes'),
  '/other-host': (_asked, _socket, base) => status(307, '', `Location: ${base.replace('http:', '')}/allow`),
  '/absolute': (_asked, _socket, base) => status(308, '', `Location: ${base}/allow`),
  '/to-wants-alice': to(307, '/wants-alice'),
  '/absolute-to-nobody': (_asked, _socket, base) => status(307, '', `Location: ${base}/wants-nobody`),
  '/with-alice': (_asked, _socket, base) =>
    status(307, '', `Location: ${base.replace('//', '//alice:p%40ss%20word@')}/wants-alice`),
  '/to-wants-referer': to(307, '/wants-referer'),
  '/without-location': () => status(307),
  '/bad-location': to(307, 'http://[::1'),
  '/ftp': to(307, 'ftp://127.0.0.1/'),
  '/loop': to(307, '/loop'),
  ...hops(9, '/nine'),
  ...hops(10, '/ten'),
}

/** A chain of that many redirects to `/allow`. */
function hops(count: number, path: string): Record<string, Manner> {
  const chain: [string, Manner][] = Array.from({ length: count }, (_, at) => [
    at === 0 ? path : `${path}-${at}`,
    to(307, at === count - 1 ? '/allow' : `${path}-${at + 1}`),
  ])
  return Object.fromEntries(chain)
}

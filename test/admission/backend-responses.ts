// Responses of admission backends, good and bad, by path, that the verify request is compared with Go's client on. Some
// depend on the request, so that a different request gives a different result.

import { gzipSync } from 'node:zlib'
import type { RawRequest, Responder } from './raw-servers.ts'

const ok = (body: string, ...headers: readonly string[]): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${headers.map((one) => `${one}\r\n`).join('')}\r\n${body}`
const status = (code: number, body = '', ...headers: readonly string[]): string =>
  ok(body, ...headers).replace('200 OK', `${code} Whatever`)
const redirect =
  (code: number, location: string): Responder =>
  () =>
    status(code, '', `Location: ${location}`)
const body200 =
  (body: string): Responder =>
  () =>
    ok(body)
const allowIf =
  (matches: (request: RawRequest) => boolean): Responder =>
  (request) =>
    ok(JSON.stringify({ Allow: matches(request) }))
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
const gzipped = (body: string): string => gzipSync(body).toString('latin1')

const isQuestion = ({ method, body }: RawRequest): boolean => method === 'POST' && body.includes('NodePublic')

export const responses: Readonly<Record<string, Responder>> = {
  '/allow': allowIf(isQuestion),
  '/deny': body200('{"Allow":false}'),
  '/empty-object': body200('{}'),
  '/empty': body200(''),
  '/lower-case': body200('{"allow":true}'),
  '/odd-case': body200('{"aLLoW":true}'),
  '/last-wins': body200('{"Allow":true,"allow":false}'),
  '/last-wins-too': body200('{"allow":false,"Allow":true}'),
  '/null-is-no-value': body200('{"Allow":true,"Allow":null}'),
  '/a-text': body200('{"Allow":"true"}'),
  '/a-number': body200('{"Allow":1}'),
  '/text-then-true': body200('{"Allow":"x","Allow":true}'),
  '/nested': body200('{"More":{"Allow":true},"List":["Allow",true]}'),
  '/nested-before': body200('{"More":{"a":["]}"]},"Allow":true}'),
  '/rest-is-not-read': body200('{"Allow":true} and whatever else'),
  '/blanks-first': body200(' \n\r\t {"Allow" : true }'),
  '/byte-order-mark': body200('\xef\xbb\xbf{"Allow":true}'),
  '/array': body200('[{"Allow":true}]'),
  '/null': body200('null'),
  '/true': body200('true'),
  '/html': body200('<html>'),
  '/comma': body200('{"Allow":true,}'),
  '/cut-at-4096': body200(`{"Allow":true,"more":"${'x'.repeat(5_000)}"}`),
  '/long-behind': body200(`{"Allow":true}${' '.repeat(9_000)}`),
  '/just-fits': body200(`{"Allow":true,"m":"${'x'.repeat(4_096 - 21)}"}`),
  '/one-too-long': body200(`{"Allow":true,"m":"${'x'.repeat(4_096 - 20)}"}`),
  '/never-ends': () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{"Allow":true}\r\n',
  '/chunks': () =>
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"Allow\r\n7\r\n":true}\r\n0\r\n\r\n',
  '/breaks-off-behind': (_request, socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"Allow":true}')
    return undefined
  },
  '/breaks-off-inside': (_request, socket) => {
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
  '/http-1.0': (_request, socket) => {
    socket.end('HTTP/1.0 200 OK\r\n\r\n{"Allow":true}')
    return undefined
  },
  '/bare-line-ends': () => 'HTTP/1.1 200 OK\nContent-Length: 14\n\n{"Allow":true}',
  '/no-reason': () => 'HTTP/1.1 200\r\nContent-Length: 14\r\n\r\n{"Allow":true}',
  '/long-headers': () => ok('{"Allow":true}', `X-Long: ${'x'.repeat(100_000)}`),
  '/garbage': () => 'garbage\r\n\r\n',
  '/closes': (_request, socket) => void socket.destroy(),
  '/silent': () => undefined,
  '/gzip': () => ok(gzipped('{"Allow":true}'), 'Content-Encoding: gzip'),
  '/gzip-upper-case': () => ok(gzipped('{"Allow":true}'), 'Content-Encoding: GZIP'),
  '/gzip-that-is-none': () => ok('{"Allow":true}', 'Content-Encoding: gzip'),
  '/deflate': () => ok('{"Allow":true}', 'Content-Encoding: deflate'),
  '/gzip-long': () =>
    ok(gzipped(`{"Allow":true,"more":"${'x'.repeat(1_000_000)}"}`), 'Content-Encoding: gzip'),
  '/wants-no-type': allowIf(({ headers }) => headers['content-type'] === undefined),
  '/wants-gzip': allowIf(({ headers }) => headers['accept-encoding'] === 'gzip'),
  '/wants-host': (request, _socket, base) => ok(`{"Allow":${`http://${request.headers['host']}` === base}}`),
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
  '/301': redirect(301, '/wants-get'),
  '/302': redirect(302, '/wants-get'),
  '/303': redirect(303, '/wants-get'),
  '/307': redirect(307, '/allow'),
  '/308': redirect(308, '/allow'),
  '/300': redirect(300, '/allow'),
  '/304': redirect(304, '/allow'),
  '/303-then-307': redirect(303, '/307-to-get'),
  '/307-to-get': redirect(307, '/wants-get'),
  '/deep/er/relative': redirect(307, '../../allow'),
  '/beside': redirect(307, 'allow'),
  '/query-alone': ({ target }) =>
    target.endsWith('?yes') ? ok('{"Allow":true}') : status(307, '', 'Location: ?yes'),
  '/other-host': (_request, _socket, base) => status(307, '', `Location: ${base.replace('http:', '')}/allow`),
  '/absolute': (_request, _socket, base) => status(308, '', `Location: ${base}/allow`),
  '/to-wants-alice': redirect(307, '/wants-alice'),
  '/absolute-to-nobody': (_request, _socket, base) => status(307, '', `Location: ${base}/wants-nobody`),
  '/with-alice': (_request, _socket, base) =>
    status(307, '', `Location: ${base.replace('//', '//alice:p%40ss%20word@')}/wants-alice`),
  '/to-wants-referer': redirect(307, '/wants-referer'),
  '/without-location': () => status(307),
  '/bad-location': redirect(307, 'http://[::1'),
  '/ftp': redirect(307, 'ftp://127.0.0.1/'),
  '/loop': redirect(307, '/loop'),
  ...hops(9, '/nine'),
  ...hops(10, '/ten'),
}

/** A chain of `count` redirects to `/allow`. */
function hops(count: number, path: string): Record<string, Responder> {
  const chain: [string, Responder][] = Array.from({ length: count }, (_, at) => [
    at === 0 ? path : `${path}-${at}`,
    redirect(307, at === count - 1 ? '/allow' : `${path}-${at + 1}`),
  ])
  return Object.fromEntries(chain)
}

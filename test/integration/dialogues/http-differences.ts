// The deliberate differences in TLS, HTTP and WebSocket, scene by scene. The reasons are in docs/compatibility.md,
// under the same titles.

import { type Difference, hears, onlyWith, said } from '../../support/transcript.ts'

const text = ['content-type: text/plain; charset=utf-8', 'x-content-type-options: nosniff'] as const
const bogusMethod = ['content-length: 19', ...text, 'body "bogus probe method\\n"'] as const
const empty200 = ['HTTP/1.1 200 OK', 'access-control-allow-origin: *', 'content-length: 0'] as const
const refused400 = ['HTTP 400', 'connection: close', 'closed (fin)'] as const
const tooOld = [
  'content-length: 86',
  ...text,
  'body "WebSocket protocol violation: handshake request must be at least HTTP/1.1: \\"HTTP/1.0\\"\\n"',
] as const

export const tlsDifferences: readonly Difference[] = [
  {
    title: 'A client that offers HTTP/2 alone is refused in the TLS handshake.',
    shows: [
      {
        scene: 'ALPN: HTTP/2 alone',
        derper: ['client 0 agreed on TLSv1.3, ALPN h2: {"ALPNProtocols":["h2"]}'],
        derpfleet: [
          'client 0 < closed (ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)',
          'client 0 got no further: {"ALPNProtocols":["h2"]}',
        ],
      },
    ],
  },
  {
    title: 'Any TLS server name is accepted, and so is no name.',
    shows: [
      ['the name asked for is another', 'derp.example.com'],
      ['the name asked for in capitals', 'LOCALHOST'],
      ['no name is asked for', ''],
    ].map(([scene = '', name]) => ({
      scene,
      derper: [
        'client 0 < closed (ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR)',
        `client 0 got no further: {"servername":"${name}"}`,
      ],
      derpfleet: [`client 0 agreed on TLSv1.3, ALPN false: {"servername":"${name}"}`],
    })),
  },
  {
    title: 'TLS sessions are not resumed.',
    shows: [
      {
        scene: 'tickets to resume with',
        derper: ['the relay gave a ticket'],
        derpfleet: ['the relay gave no ticket'],
      },
    ],
  },
]

export const httpDifferences: readonly Difference[] = [
  {
    title: 'Answers to HEAD always have a Content-Length.',
    shows: [
      ['latency checks', 1],
      ['latency checks', 3],
      ['latency checks over plain TCP', 1],
    ].map(([scene, n]) => hears(`${scene}`, `client ${n}`, empty200.slice(0, 2), empty200)),
  },
  {
    title: 'HTTP/1.0 is answered in HTTP/1.1.',
    shows: [
      hears(
        'a latency check in HTTP/1.0',
        'client 0',
        ['HTTP/1.0 200 OK', 'access-control-allow-origin: *'],
        ['HTTP/1.1 200 OK', 'access-control-allow-origin: *', 'connection: close'],
      ),
    ],
  },
  {
    title: 'Debug pages are only on the admin port.',
    shows: [
      hears(
        'debug pages',
        'client 0',
        [
          'HTTP/1.1 200 OK',
          'content-length: some',
          "content-security-policy: default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'; block-all-mixed-content; object-src 'none'",
          'content-type: text/html; charset=utf-8',
          'strict-transport-security: max-age=63072000; includeSubDomains',
          'x-content-type-options: nosniff',
          'x-frame-options: DENY',
          'body a page for people',
        ],
        debugDenied(),
      ),
      hears(
        'debug pages from afar',
        'client 0',
        ['HTTP/1.1 403 Forbidden', 'content-length: 20', ...text, 'body "debug access denied\\n"'],
        debugDenied(),
      ),
    ],
  },
  {
    title: 'CONNECT is refused in the same way with and without TLS, and ends the connection.',
    shows: [
      onlyWith(
        '1.104.5',
        hears(
          'CONNECT over plain TCP',
          'client 0',
          [
            'HTTP/1.1 404 Not Found',
            'connection: close',
            'content-length: 19',
            ...text,
            'body "404 page not found\\n"',
          ],
          ['HTTP/1.1 403 Forbidden', 'connection: close', ...connectDenied()],
        ),
      ),
      onlyWith(
        '1.102.5',
        hears(
          'CONNECT over plain TCP',
          'client 0',
          ['HTTP/1.1 404 Not Found', 'content-length: 19', ...text, 'body "404 page not found\\n"'],
          ['HTTP/1.1 403 Forbidden', 'connection: close', ...connectDenied(), 'closed (fin)'],
        ),
      ),
      onlyWith(
        '1.102.5',
        hears(
          'CONNECT',
          'client 0',
          ['HTTP/1.1 403 Forbidden', ...connectDenied()],
          ['HTTP/1.1 403 Forbidden', 'connection: close', ...connectDenied(), 'closed (fin)'],
        ),
      ),
    ],
  },
  {
    title: 'If there are several Host fields, the first one counts.',
    shows: [hears('two Hosts', 'client 0', refused400, empty200)],
  },
  {
    title: 'An unknown HTTP version is a bad request.',
    shows: [hears('HTTP of no known version', 'client 0', ['HTTP 505'], ['HTTP 400'])],
  },
  {
    title: 'Header fields that continue on the next line are refused.',
    shows: [hears('fields that go on in the next line', 'client 0', empty200, refused400)],
  },
  {
    title: 'Requests are limited to 16 KiB and 100 fields.',
    shows: [
      hears('a field of 64 KiB', 'client 0', empty200, ['HTTP 431', 'connection: close', 'closed']),
      hears('a hundred fields and more', 'client 0', empty200, refused400),
      {
        scene: 'a head without an end',
        derper: [],
        derpfleet: said('alice', 'HTTP 431', 'connection: close', 'closed'),
      },
    ],
  },
  {
    title: 'Request bodies are not read.',
    shows: [
      hears(
        'latency checks by other methods',
        'client 1',
        ['HTTP/1.1 405 Method Not Allowed', ...bogusMethod],
        ['HTTP/1.1 405 Method Not Allowed', 'connection: close', ...bogusMethod, 'closed (fin)'],
      ),
    ],
  },
  {
    title: 'Plain HTTP on the TLS port is closed without an answer.',
    shows: [hears('plain HTTP on the TLS port', 'alice', ['HTTP 400', 'closed (fin)'], ['closed (fin)'])],
  },
]

export const webSocketDifferences: readonly Difference[] = [
  {
    title: 'WebSocket handshakes in HTTP/1.0 are refused in HTTP/1.1.',
    shows: [
      hears(
        'WebSocket: in HTTP/1.0',
        'client 0',
        ['HTTP/1.0 426 Upgrade Required', ...tooOld],
        ['HTTP/1.1 426 Upgrade Required', 'connection: close', ...tooOld],
      ),
    ],
  },
  {
    title: 'A WebSocket frame without a mask is answered with 1002.',
    shows: [
      {
        scene: 'WebSocket: a frame without a mask',
        derper: said('alice', 'WebSocket close 1000', 'closed (fin)'),
        derpfleet: said('alice', 'WebSocket close 1002', 'closed (fin)'),
      },
    ],
  },
]

function debugDenied(): string[] {
  const words = 'body "debug access denied; metrics and health are on the admin port\\n"'
  return ['HTTP/1.1 403 Forbidden', 'content-length: 62', ...text, words]
}

function connectDenied(): string[] {
  return ['content-length: 20', ...text, 'body "CONNECT not enabled\\n"']
}

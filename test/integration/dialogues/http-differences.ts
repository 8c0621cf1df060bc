// The deliberate differences in TLS, HTTP and WebSocket, by dialogue. The reasons are in docs/compatibility.md,
// under the same titles.

import { type Difference, receives, onlyWith, received } from '../../support/transcript.ts'

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
    occurrences: [
      {
        dialogue: 'ALPN: HTTP/2 alone',
        derper: ['client 0 agreed on TLSv1.3, ALPN h2: {"ALPNProtocols":["h2"]}'],
        derpfleet: [
          'client 0 < closed (ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)',
          'client 0 failed: {"ALPNProtocols":["h2"]}',
        ],
      },
    ],
  },
  {
    title: 'Any TLS server name is accepted, and so is no name.',
    occurrences: [
      ['another server name', 'derp.example.com'],
      ['the server name in capitals', 'LOCALHOST'],
      ['no server name', ''],
    ].map(([dialogue = '', name]) => ({
      dialogue,
      derper: [
        'client 0 < closed (ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR)',
        `client 0 failed: {"servername":"${name}"}`,
      ],
      derpfleet: [`client 0 agreed on TLSv1.3, ALPN false: {"servername":"${name}"}`],
    })),
  },
  {
    title: 'TLS sessions are not resumed.',
    occurrences: [
      {
        dialogue: 'session tickets',
        derper: ['the relay gave a ticket'],
        derpfleet: ['the relay gave no ticket'],
      },
    ],
  },
]

export const httpDifferences: readonly Difference[] = [
  {
    title: 'Answers to HEAD always have a Content-Length.',
    occurrences: [
      ['latency checks', 1],
      ['latency checks', 3],
      ['latency checks over plain TCP', 1],
    ].map(([dialogue, n]) => receives(`${dialogue}`, `client ${n}`, empty200.slice(0, 2), empty200)),
  },
  {
    title: 'HTTP/1.0 is answered in HTTP/1.1.',
    occurrences: [
      receives(
        'a latency check in HTTP/1.0',
        'client 0',
        ['HTTP/1.0 200 OK', 'access-control-allow-origin: *'],
        ['HTTP/1.1 200 OK', 'access-control-allow-origin: *', 'connection: close'],
      ),
    ],
  },
  {
    title: 'Debug pages are only on the admin port.',
    occurrences: [
      receives(
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
          'body an HTML page',
        ],
        debugDenied(),
      ),
      receives(
        'debug pages for a remote client',
        'client 0',
        ['HTTP/1.1 403 Forbidden', 'content-length: 20', ...text, 'body "debug access denied\\n"'],
        debugDenied(),
      ),
    ],
  },
  {
    title: 'CONNECT is refused in the same way with and without TLS, and ends the connection.',
    occurrences: [
      onlyWith(
        '1.104.5',
        receives(
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
        receives(
          'CONNECT over plain TCP',
          'client 0',
          ['HTTP/1.1 404 Not Found', 'content-length: 19', ...text, 'body "404 page not found\\n"'],
          ['HTTP/1.1 403 Forbidden', 'connection: close', ...connectDenied(), 'closed (fin)'],
        ),
      ),
      onlyWith(
        '1.102.5',
        receives(
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
    occurrences: [receives('two Hosts', 'client 0', refused400, empty200)],
  },
  {
    title: 'An unknown HTTP version is a bad request.',
    occurrences: [receives('an unknown HTTP version', 'client 0', ['HTTP 505'], ['HTTP 400'])],
  },
  {
    title: 'Header fields that continue on the next line are refused.',
    occurrences: [receives('fields that continue on the next line', 'client 0', empty200, refused400)],
  },
  {
    title: 'Requests are limited to 16 KiB and 100 fields.',
    occurrences: [
      receives('a field of 64 KiB', 'client 0', empty200, ['HTTP 431', 'connection: close', 'closed']),
      receives('a hundred fields and more', 'client 0', empty200, refused400),
      {
        dialogue: 'a head without an end',
        derper: [],
        derpfleet: received('alice', 'HTTP 431', 'connection: close', 'closed'),
      },
    ],
  },
  {
    title: 'Request bodies are not read.',
    occurrences: [
      receives(
        'latency checks by other methods',
        'client 1',
        ['HTTP/1.1 405 Method Not Allowed', ...bogusMethod],
        ['HTTP/1.1 405 Method Not Allowed', 'connection: close', ...bogusMethod, 'closed (fin)'],
      ),
    ],
  },
  {
    title: 'Plain HTTP on the TLS port is closed without an answer.',
    occurrences: [
      receives('plain HTTP on the TLS port', 'alice', ['HTTP 400', 'closed (fin)'], ['closed (fin)']),
    ],
  },
]

export const webSocketDifferences: readonly Difference[] = [
  {
    title: 'WebSocket handshakes in HTTP/1.0 are refused in HTTP/1.1.',
    occurrences: [
      receives(
        'WebSocket: in HTTP/1.0',
        'client 0',
        ['HTTP/1.0 426 Upgrade Required', ...tooOld],
        ['HTTP/1.1 426 Upgrade Required', 'connection: close', ...tooOld],
      ),
    ],
  },
  {
    title: 'A WebSocket frame without a mask is answered with 1002.',
    occurrences: [
      {
        dialogue: 'WebSocket: a frame without a mask',
        derper: received('alice', 'WebSocket close 1000', 'closed (fin)'),
        derpfleet: received('alice', 'WebSocket close 1002', 'closed (fin)'),
      },
    ],
  },
]

function debugDenied(): string[] {
  const body = 'body "debug access denied; metrics and health are on the admin port\\n"'
  return ['HTTP/1.1 403 Forbidden', 'content-length: 62', ...text, body]
}

function connectDenied(): string[] {
  return ['content-length: 20', ...text, 'body "CONNECT not enabled\\n"']
}

// The deliberate differences in TLS, HTTP and WebSocket, scene by scene. The reasons are in docs/compatibility.md,
// under the same titles.

import { type Difference, hears, onlyWith, said } from '../../support/transcript.ts'

const text = ['content-type: text/plain; charset=utf-8', 'x-content-type-options: nosniff'] as const
const upgradeRequired = ['content-length: 33', ...text, 'body "DERP requires connection upgrade\\n"'] as const
const lastUpgradeRequired = [
  'HTTP/1.1 426 Upgrade Required',
  'connection: close',
  ...upgradeRequired,
  'closed (fin)',
] as const
const empty200 = ['HTTP/1.1 200 OK', 'access-control-allow-origin: *', 'content-length: 0'] as const
const refused400 = ['HTTP 400', 'connection: close', 'closed (fin)'] as const
const serverKey = 'ServerKey server (40 B)'
const endsWithout: readonly [scene: string, close: string][] = [
  ['WebSocket: a message that is too large', 'WebSocket close 1009'],
  ['WebSocket: fragments that are too large together', 'WebSocket close 1009'],
  ['WebSocket: reserved bits', 'WebSocket close 1002'],
  ['WebSocket: a frame of an unknown type', 'WebSocket close 1002'],
  ['WebSocket: a continuation of nothing', 'WebSocket close 1002'],
  ['WebSocket: a ping in fragments', 'WebSocket close 1002'],
  ['WebSocket: a ping that is too long', 'WebSocket close 1002'],
]

/** A handshake that succeeds. */
function webSocketOpens(accept: string): string[] {
  return [
    'HTTP/1.1 101 Switching Protocols',
    'connection: Upgrade',
    `sec-websocket-accept: ${accept}`,
    'sec-websocket-protocol: derp',
    'upgrade: websocket',
    serverKey,
  ]
}

const accepted = webSocketOpens('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')

/** What derper says to a handshake without a good Connection field. */
function violation(words: string, contentBytes: number, connection: 'Upgrade' | 'close'): string[] {
  return [
    'HTTP/1.1 426 Upgrade Required',
    `connection: ${connection}`,
    `content-length: ${contentBytes}`,
    text[0],
    'upgrade: websocket',
    text[1],
    `body "WebSocket protocol violation: ${words}\\n"`,
    ...(connection === 'close' ? ['closed (fin)'] : []),
  ]
}

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
    title: 'Any server name is served, and none.',
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
    title: 'An answer of 426 ends the connection.',
    shows: [
      ...[0, 1].map((n) => ['/derp without an upgrade', n] as const),
      ...[0, 1, 2, 3].map((n) => ['/derp with another upgrade', n] as const),
    ].map(([scene, n]) =>
      hears(scene, `client ${n}`, ['HTTP/1.1 426 Upgrade Required', ...upgradeRequired], lastUpgradeRequired),
    ),
  },
  {
    title: 'An upgrade is the first request of its connection.',
    shows: [
      hears(
        'an upgrade as the second request of a connection',
        'alice',
        [
          'HTTP/1.1 101 Switching Protocols',
          'Upgrade: DERP',
          'Connection: Upgrade',
          'Derp-Version: 2',
          'Derp-Public-Key: 3b3d63b25c5089067698624015be5eedb1870ac50963fe75a278c17d24e89367',
          serverKey,
        ],
        lastUpgradeRequired,
      ),
    ],
  },
  {
    title: 'Answers to HEAD always name a length.',
    shows: [
      ['latency checks', 1],
      ['latency checks', 3],
      ['latency checks over plain TCP', 1],
    ].map(([scene, n]) => hears(`${scene}`, `client ${n}`, empty200.slice(0, 2), empty200)),
  },
  {
    title: '`Connection: close` is obeyed and not repeated.',
    shows: [
      hears(
        'latency checks, several on one connection',
        'alice',
        ['connection: close', 'content-length: 0'],
        ['content-length: 0'],
      ),
    ],
  },
  {
    title: 'HTTP/1.0 is answered in HTTP/1.1.',
    shows: [hears('a latency check in HTTP/1.0', 'client 0', ['HTTP/1.0 200 OK'], ['HTTP/1.1 200 OK'])],
  },
  {
    title: 'Bytes that are no UTF-8 are passed over in a captive-portal challenge.',
    shows: [
      hears(
        'portal checks with a challenge',
        'client 7',
        ['cache-control: no-cache, no-store, must-revalidate, no-transform, max-age=0'],
        [
          'cache-control: no-cache, no-store, must-revalidate, no-transform, max-age=0',
          'x-tailscale-response: response caf',
        ],
      ),
    ],
  },
  {
    title: 'Debug pages are on the admin port, and on the DERP port for nobody.',
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
    title: 'CONNECT is refused alike with and without TLS, and ends the connection.',
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
    title: 'Of several Host fields the first counts.',
    shows: [hears('two Hosts', 'client 0', refused400, empty200)],
  },
  {
    title: 'HTTP of an unknown version is a bad request.',
    shows: [hears('HTTP of no known version', 'client 0', ['HTTP 505'], ['HTTP 400'])],
  },
  {
    title: 'Fields that go on in the next line are refused.',
    shows: [hears('fields that go on in the next line', 'client 0', empty200, refused400)],
  },
  {
    title: 'Requests are limited to 4 KiB and 100 fields, upgrades to DERP to 16 KiB.',
    shows: [
      hears('a field of 8 KiB', 'client 0', empty200, ['HTTP 431', 'connection: close', 'closed (fin)']),
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
    title: 'Plain HTTP on the TLS port is closed without an answer.',
    shows: [hears('plain HTTP on the TLS port', 'alice', ['HTTP 400', 'closed (fin)'], ['closed (fin)'])],
  },
]

export const webSocketDifferences: readonly Difference[] = [
  {
    title: 'WebSocket handshakes are checked less strictly, and refused with other codes.',
    shows: [
      hears(
        'WebSocket: without Connection',
        'client 0',
        violation('Connection header \\"\\" does not contain Upgrade', 76, 'Upgrade'),
        accepted,
      ),
      hears(
        'WebSocket: without Connection',
        'client 1',
        violation('Connection header \\"close\\" does not contain Upgrade', 81, 'close'),
        accepted,
      ),
      hears('WebSocket: without a key', 'client 0', ['HTTP 400'], lastUpgradeRequired),
      hears('WebSocket: a key that is none', 'client 0', ['HTTP 400'], lastUpgradeRequired),
      hears(
        'WebSocket: a key that is none',
        'client 1',
        ['HTTP 400'],
        webSocketOpens('Ek+DIhBdl2dzD4vZ/hh8z7+W+/E='),
      ),
      hears('WebSocket: two keys', 'client 0', ['HTTP 400'], accepted),
      hears(
        'WebSocket: by another method',
        'client 0',
        [
          'HTTP/1.1 405 Method Not Allowed',
          'content-length: 77',
          ...text,
          'body "WebSocket protocol violation: handshake request method is not GET but \\"POST\\"\\n"',
        ],
        lastUpgradeRequired,
      ),
      hears(
        'WebSocket: in HTTP/1.0',
        'client 0',
        [
          'HTTP/1.0 426 Upgrade Required',
          'content-length: 86',
          ...text,
          'body "WebSocket protocol violation: handshake request must be at least HTTP/1.1: \\"HTTP/1.0\\"\\n"',
        ],
        ['HTTP 505', 'connection: close'],
      ),
    ],
  },
  {
    title: 'A WebSocket that breaks its own protocol is ended without a close frame.',
    shows: endsWithout.map(([scene, close]) =>
      hears(scene, 'alice', [close, 'closed (fin)'], ['closed (fin)']),
    ),
  },
  {
    title: 'A WebSocket frame without a mask is taken for one with a mask.',
    shows: [
      {
        scene: 'WebSocket: a frame without a mask',
        derper: said('alice', 'WebSocket close 1000', 'closed (fin)'),
        derpfleet: ['(waited in vain for 1)'],
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

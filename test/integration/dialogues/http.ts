// Everything on the DERP port that is not DERP, and the requests that become DERP in unusual spelling.

import { FrameType } from '#protocol/frame-type.ts'
import type { Scene, Scenes } from '../../support/dialogue.ts'
import type { Dial } from '../../support/scripted-client.ts'
import { clientInfo, headerOf } from '../../support/scripted-client.ts'

const hostField = 'Host: localhost'

/** A request of these lines. */
function get(target: string, ...fields: readonly string[]): string {
  return asks('GET', target, ...fields)
}

function asks(method: string, target: string, ...fields: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, hostField, ...fields, '', ''].join('\r\n')
}

/** Each request on a connection of its own. */
function asking(...texts: readonly string[]): Scene {
  return askingOver({}, ...texts)
}

function askingOver(dial: Partial<Dial>, ...texts: readonly string[]): Scene {
  return async (stage) => {
    for (const [at, text] of texts.entries()) await stage.request(`client ${at}`, text, dial)
  }
}

/** Requests that become DERP, each on a connection of its own, up to the login. */
function becoming(...texts: readonly string[]): Scene {
  return async (stage) => {
    for (const [at, text] of texts.entries()) {
      const player = await stage.dial(`client ${at}`, { tls: false })
      if (/^Derp-Fast-Start: *1 *$/im.test(text)) player.expectFrames()
      player.request(text, clientInfo(player.actor))
      await stage.settle(2)
    }
  }
}

/** Bytes that are no request, each on a connection of its own. */
function uttering(dial: Partial<Dial>, ...texts: readonly string[]): Scene {
  return async (stage) => {
    for (const [at, text] of texts.entries()) {
      const player = await stage.dial(`client ${at}`, dial)
      player.sendRaw(
        Buffer.from(text, 'latin1'),
        JSON.stringify(text.length > 80 ? `${text.length} B` : text),
      )
      await stage.settle(1)
    }
  }
}

const upgrade = ['Connection: Upgrade', 'Upgrade: DERP'] as const

const challenges = [
  'ts_127.0.0.1',
  'a',
  'ts_derp1.example.com:80-x',
  'a'.repeat(64),
  'a'.repeat(65),
  'a b',
  'a/b',
  'caf\xe9',
  '',
] as const

export const httpScenes: Scenes = {
  '/derp without an upgrade': asking(
    get('/derp'),
    asks('POST', '/derp', 'Content-Length: 0'),
    asks('HEAD', '/derp'),
  ),
  '/derp with another upgrade': asking(
    get('/derp', 'Connection: Upgrade', 'Upgrade: h2c'),
    get('/derp', 'Connection: Upgrade', 'Upgrade:'),
    get('/derp', 'Connection: Upgrade', 'Upgrade: DERP, websocket'),
    get('/derp', 'Connection: Upgrade', 'Upgrade: DERP/2'),
  ),
  'an upgrade as the second request of a connection': async (stage) => {
    const alice = await stage.request('alice', get('/derp/probe'))
    alice.request(get('/derp', ...upgrade))
    await stage.settle(1)
  },
  'the upgrade in any case': becoming(
    get('/derp', 'Connection: Upgrade', 'Upgrade: derp'),
    get('/derp', 'Connection: upgrade', 'Upgrade: DeRp'),
    get('/derp', 'connection: Upgrade', 'UPGRADE: DERP'),
  ),
  'the upgrade without its Connection field': becoming(get('/derp', 'Upgrade: DERP')),
  'the upgrade by another method': becoming(
    asks('POST', '/derp', ...upgrade),
    asks('HEAD', '/derp', ...upgrade),
  ),
  'the upgrade with a query': becoming(get('/derp?region=900', ...upgrade)),
  'the upgrade with a whole URL': becoming(get('http://localhost/derp', ...upgrade)),
  'the upgrade in HTTP/1.0': becoming(get('/derp', ...upgrade).replace('HTTP/1.1', 'HTTP/1.0')),
  'the upgrade with line feeds alone': becoming(get('/derp', ...upgrade).replaceAll('\r\n', '\n')),
  'the upgrade without a Host': askingOver(
    { tls: false },
    get('/derp', ...upgrade).replace(`${hostField}\r\n`, ''),
  ),
  'the upgrade on another path': asking(
    get('/derp/', ...upgrade),
    get('/', ...upgrade),
    get('/DERP', ...upgrade),
  ),
  'raw DERP by the name of WebSocket': becoming(
    get('/derp', 'Connection: Upgrade', 'Upgrade: websocket'),
    get('/derp', 'Connection: Upgrade', 'Upgrade: WebSocket', 'Sec-WebSocket-Protocol: other'),
  ),
  'fast start is asked for with 1 alone': becoming(
    get('/derp', ...upgrade, 'Derp-Fast-Start: 1'),
    get('/derp', ...upgrade, 'derp-fast-start:1'),
    get('/derp', ...upgrade, 'Derp-Fast-Start: 0'),
    get('/derp', ...upgrade, 'Derp-Fast-Start: true'),
    get('/derp', ...upgrade, 'Derp-Fast-Start: 11'),
    get('/derp', ...upgrade, 'Derp-Fast-Start:'),
  ),
  'the first bytes behind an upgrade are a frame': async (stage) => {
    const alice = await stage.dial('alice', { tls: false })
    alice.request(get('/derp', ...upgrade), headerOf(FrameType.ping, 8))
    await stage.settle(3)
  },

  'latency checks': asking(
    get('/derp/probe'),
    asks('HEAD', '/derp/probe'),
    get('/derp/latency-check'),
    asks('HEAD', '/derp/latency-check'),
    get('/derp/latency-check?t=1'),
    get('/derp/probe', 'Origin: https://login.example.com'),
  ),
  'latency checks by other methods': asking(
    asks('POST', '/derp/probe', 'Content-Length: 0'),
    asks('POST', '/derp/latency-check', 'Content-Length: 4') + 'body',
    asks('OPTIONS', '/derp/probe'),
    asks('DELETE', '/derp/probe'),
  ),
  'latency checks by methods that nobody knows': asking(asks('BREW', '/derp/probe')),
  'latency checks, several on one connection': async (stage) => {
    const alice = await stage.dial('alice')
    for (let i = 0; i < 3; i++) {
      alice.request(get('/derp/probe'))
      await stage.settle(1)
    }
    alice.request(get('/derp/probe') + get('/derp/latency-check'))
    await stage.settle(2)
    alice.request(get('/derp/probe', 'Connection: close'))
    await stage.settle(2)
  },
  'a latency check in HTTP/1.0': asking(get('/derp/probe').replace('HTTP/1.1', 'HTTP/1.0')),
  'latency checks over plain TCP': askingOver(
    { tls: false },
    get('/derp/probe'),
    asks('HEAD', '/derp/latency-check'),
  ),

  'portal checks without a challenge': asking(get('/generate_204'), asks('HEAD', '/generate_204')),
  'portal checks by other methods': asking(asks('POST', '/generate_204', 'Content-Length: 0')),
  'portal checks with a challenge': asking(
    ...challenges.map((challenge) => get('/generate_204?t=1', `X-Tailscale-Challenge: ${challenge}`)),
  ),
  'portal checks for any host': asking(get('/generate_204').replace('localhost', '192.0.2.7')),

  'bootstrap DNS with nothing to tell': asking(get('/bootstrap-dns'), get('/bootstrap-dns?q=example.com')),
  robots: asking(get('/robots.txt'), asks('HEAD', '/robots.txt')),
  'the front page, whatever is asked for': asking(get('/'), get('/no/such/page'), get('/derp/nothing')),
  'the front page by other methods': asking(asks('POST', '/', 'Content-Length: 0'), asks('HEAD', '/')),
  'debug pages': asking(get('/debug/')),
  'debug pages from afar': asking(get('/debug/', 'X-Forwarded-For: 192.0.2.7')),
  CONNECT: asking(
    'CONNECT controlplane.example.com:443 HTTP/1.1\r\nHost: controlplane.example.com:443\r\n\r\n',
  ),
  'CONNECT over plain TCP': askingOver(
    { tls: false },
    'CONNECT controlplane.example.com:443 HTTP/1.1\r\nHost: controlplane.example.com:443\r\n\r\n',
  ),
  'no Host': asking(get('/derp/probe').replace(`${hostField}\r\n`, '')),
  'two Hosts': asking(get('/derp/probe', 'Host: other')),

  'what is no HTTP': uttering({}, 'hello\r\n\r\n', '\0\0\0\0\r\n\r\n', 'GET\r\n\r\n'),
  'an empty line before the request': uttering({}, `\r\n${get('/derp/probe')}`),
  'HTTP of no known version': uttering(
    {},
    get('/derp/probe').replace('1.1', '3.0'),
    get('/').replace('HTTP/1.1', 'X/1.1'),
  ),
  'the preface of HTTP/2': uttering({}, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  'fields that are none': uttering({}, get('/derp/probe', 'no colon'), get('/derp/probe', ': no name')),
  'fields that go on in the next line': uttering({}, get('/derp/probe', 'X-Long: begin', ' and end')),
  'a name with a space before its colon': uttering({}, get('/derp/probe', 'X-Name : value')),
  'a field of 8 KiB': uttering({}, get('/derp/probe', `X-Long: ${'a'.repeat(8_192)}`)),
  'a field of 64 KiB': uttering({}, get('/derp/probe', `X-Long: ${'a'.repeat(65_536)}`)),
  'a hundred fields and more': uttering(
    {},
    get('/derp/probe', ...Array.from({ length: 120 }, (_, i) => `X-${i}: a`)),
  ),
  'a head without an end': async (stage) => {
    const alice = await stage.dial('alice')
    alice.sendRaw(Buffer.from(`GET /${'a'.repeat(20_000)}`), 'GET /aaa…, 20 kB')
    await stage.settle(0)
  },
  'plain HTTP on the TLS port': async (stage) => {
    const port = stage.relay.tlsPort
    await stage.request('alice', get('/derp/probe'), { tls: false, port })
  },
}

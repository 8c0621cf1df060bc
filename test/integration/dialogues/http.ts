// HTTP on the DERP port: requests that are not DERP, and upgrades to DERP in unusual spelling.

import { FrameType } from '#protocol/frame-type.ts'
import type { Script, Scripts } from '../../support/dialogue.ts'
import type { Dial } from '../../support/scripted-client.ts'
import { clientInfo, headerOf } from '../../support/raw-frames.ts'

const hostField = 'Host: localhost'

/** A GET request with these fields. */
function get(target: string, ...fields: readonly string[]): string {
  return request('GET', target, ...fields)
}

function request(method: string, target: string, ...fields: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, hostField, ...fields, '', ''].join('\r\n')
}

/** Sends each request on a connection of its own. */
function requests(...texts: readonly string[]): Script {
  return requestsOver({}, ...texts)
}

function requestsOver(dial: Partial<Dial>, ...texts: readonly string[]): Script {
  return async (dialogue) => {
    for (const [at, text] of texts.entries()) await dialogue.request(`client ${at}`, text, dial)
  }
}

/** Sends requests that upgrade to DERP, each with ClientInfo and on a connection of its own. */
function upgrades(...texts: readonly string[]): Script {
  return async (dialogue) => {
    for (const [at, text] of texts.entries()) {
      const client = await dialogue.dial(`client ${at}`, { tls: false })
      if (/^Derp-Fast-Start: *1 *$/im.test(text)) client.expectFrames()
      client.request(text, clientInfo(client.actor))
      await dialogue.settle(2)
    }
  }
}

/** Sends bytes that are no valid request, each on a connection of its own. */
function rawBytes(dial: Partial<Dial>, ...texts: readonly string[]): Script {
  return async (dialogue) => {
    for (const [at, text] of texts.entries()) {
      const client = await dialogue.dial(`client ${at}`, dial)
      client.sendRaw(
        Buffer.from(text, 'latin1'),
        JSON.stringify(text.length > 80 ? `${text.length} B` : text),
      )
      await dialogue.settle(1)
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

export const httpScripts: Scripts = {
  '/derp without an upgrade': requests(
    get('/derp'),
    request('POST', '/derp', 'Content-Length: 0'),
    request('HEAD', '/derp'),
  ),
  '/derp with another upgrade': requests(
    get('/derp', 'Connection: Upgrade', 'Upgrade: h2c'),
    get('/derp', 'Connection: Upgrade', 'Upgrade:'),
    get('/derp', 'Connection: Upgrade', 'Upgrade: DERP, websocket'),
    get('/derp', 'Connection: Upgrade', 'Upgrade: DERP/2'),
  ),
  'an upgrade as the second request of a connection': async (dialogue) => {
    const alice = await dialogue.request('alice', get('/derp/probe'))
    alice.request(get('/derp', ...upgrade))
    await dialogue.settle(1)
  },
  'the upgrade in any case': upgrades(
    get('/derp', 'Connection: Upgrade', 'Upgrade: derp'),
    get('/derp', 'Connection: upgrade', 'Upgrade: DeRp'),
    get('/derp', 'connection: Upgrade', 'UPGRADE: DERP'),
  ),
  'the upgrade without its Connection field': upgrades(get('/derp', 'Upgrade: DERP')),
  'the upgrade by another method': upgrades(
    request('POST', '/derp', ...upgrade),
    request('HEAD', '/derp', ...upgrade),
  ),
  'the upgrade with a query': upgrades(get('/derp?region=900', ...upgrade)),
  'the upgrade with a whole URL': upgrades(get('http://localhost/derp', ...upgrade)),
  'the upgrade in HTTP/1.0': upgrades(get('/derp', ...upgrade).replace('HTTP/1.1', 'HTTP/1.0')),
  'the upgrade with line feeds alone': upgrades(get('/derp', ...upgrade).replaceAll('\r\n', '\n')),
  'the upgrade without a Host': requestsOver(
    { tls: false },
    get('/derp', ...upgrade).replace(`${hostField}\r\n`, ''),
  ),
  'the upgrade on another path': requests(
    get('/derp/', ...upgrade),
    get('/', ...upgrade),
    get('/DERP', ...upgrade),
  ),
  'raw DERP with Upgrade: websocket': upgrades(
    get('/derp', 'Connection: Upgrade', 'Upgrade: websocket'),
    get('/derp', 'Connection: Upgrade', 'Upgrade: WebSocket', 'Sec-WebSocket-Protocol: other'),
  ),
  'fast start is requested by the value 1 only': upgrades(
    get('/derp', ...upgrade, 'Derp-Fast-Start: 1'),
    get('/derp', ...upgrade, 'derp-fast-start:1'),
    get('/derp', ...upgrade, 'Derp-Fast-Start: 0'),
    get('/derp', ...upgrade, 'Derp-Fast-Start: true'),
    get('/derp', ...upgrade, 'Derp-Fast-Start: 11'),
    get('/derp', ...upgrade, 'Derp-Fast-Start:'),
  ),
  'a frame directly after the upgrade request': async (dialogue) => {
    const alice = await dialogue.dial('alice', { tls: false })
    alice.request(get('/derp', ...upgrade), headerOf(FrameType.ping, 8))
    await dialogue.settle(3)
  },

  'latency checks': requests(
    get('/derp/probe'),
    request('HEAD', '/derp/probe'),
    get('/derp/latency-check'),
    request('HEAD', '/derp/latency-check'),
    get('/derp/latency-check?t=1'),
    get('/derp/probe', 'Origin: https://login.example.com'),
  ),
  'latency checks by other methods': requests(
    request('POST', '/derp/probe', 'Content-Length: 0'),
    request('POST', '/derp/latency-check', 'Content-Length: 4') + 'body',
    request('OPTIONS', '/derp/probe'),
    request('DELETE', '/derp/probe'),
  ),
  'latency checks by an unknown method': requests(request('BREW', '/derp/probe')),
  'latency checks, several on one connection': async (dialogue) => {
    const alice = await dialogue.dial('alice')
    for (let i = 0; i < 3; i++) {
      alice.request(get('/derp/probe'))
      await dialogue.settle(1)
    }
    alice.request(get('/derp/probe') + get('/derp/latency-check'))
    await dialogue.settle(2)
    alice.request(get('/derp/probe', 'Connection: close'))
    await dialogue.settle(2)
  },
  'a latency check in HTTP/1.0': requests(get('/derp/probe').replace('HTTP/1.1', 'HTTP/1.0')),
  'latency checks over plain TCP': requestsOver(
    { tls: false },
    get('/derp/probe'),
    request('HEAD', '/derp/latency-check'),
  ),

  'portal checks without a challenge': requests(get('/generate_204'), request('HEAD', '/generate_204')),
  'portal checks by other methods': requests(request('POST', '/generate_204', 'Content-Length: 0')),
  'portal checks with a challenge': requests(
    ...challenges.map((challenge) => get('/generate_204?t=1', `X-Tailscale-Challenge: ${challenge}`)),
  ),
  'portal checks for any host': requests(get('/generate_204').replace('localhost', '192.0.2.7')),

  'bootstrap DNS without entries': requests(get('/bootstrap-dns'), get('/bootstrap-dns?q=example.com')),
  robots: requests(get('/robots.txt'), request('HEAD', '/robots.txt')),
  'the home page, for any path': requests(get('/'), get('/no/such/page'), get('/derp/nothing')),
  'the home page by other methods': requests(request('POST', '/', 'Content-Length: 0'), request('HEAD', '/')),
  'debug pages': requests(get('/debug/')),
  'debug pages for a remote client': requests(get('/debug/', 'X-Forwarded-For: 192.0.2.7')),
  CONNECT: requests(
    'CONNECT controlplane.example.com:443 HTTP/1.1\r\nHost: controlplane.example.com:443\r\n\r\n',
  ),
  'CONNECT over plain TCP': requestsOver(
    { tls: false },
    'CONNECT controlplane.example.com:443 HTTP/1.1\r\nHost: controlplane.example.com:443\r\n\r\n',
  ),
  'no Host': requests(get('/derp/probe').replace(`${hostField}\r\n`, '')),
  'two Hosts': requests(get('/derp/probe', 'Host: other')),

  'bytes that are not HTTP': rawBytes({}, 'hello\r\n\r\n', '\0\0\0\0\r\n\r\n', 'GET\r\n\r\n'),
  'an empty line before the request': rawBytes({}, `\r\n${get('/derp/probe')}`),
  'an unknown HTTP version': rawBytes(
    {},
    get('/derp/probe').replace('1.1', '3.0'),
    get('/').replace('HTTP/1.1', 'X/1.1'),
  ),
  'the preface of HTTP/2': rawBytes({}, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  'invalid fields': rawBytes({}, get('/derp/probe', 'no colon'), get('/derp/probe', ': no name')),
  'fields that continue on the next line': rawBytes({}, get('/derp/probe', 'X-Long: begin', ' and end')),
  'a name with a space before its colon': rawBytes({}, get('/derp/probe', 'X-Name : value')),
  'a field of 8 KiB': rawBytes({}, get('/derp/probe', `X-Long: ${'a'.repeat(8_192)}`)),
  'a field of 64 KiB': rawBytes({}, get('/derp/probe', `X-Long: ${'a'.repeat(65_536)}`)),
  'a hundred fields and more': rawBytes(
    {},
    get('/derp/probe', ...Array.from({ length: 120 }, (_, i) => `X-${i}: a`)),
  ),
  'a head without an end': async (dialogue) => {
    const alice = await dialogue.dial('alice')
    alice.sendRaw(Buffer.from(`GET /${'a'.repeat(20_000)}`), 'GET /aaa…, 20 kB')
    await dialogue.settle(0)
  },
  'plain HTTP on the TLS port': async (dialogue) => {
    const port = dialogue.relay.tlsPort
    await dialogue.request('alice', get('/derp/probe'), { tls: false, port })
  },
}

// The pages of the DERP port and of the plain port, as a client receives them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { challenges } from '../vectors/captive-portal.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { LiveRelay, NO_MESH } from '../support/live-relay.ts'
import { RawSocket } from '../support/raw-socket.ts'

let relay: LiveRelay
let blank: LiveRelay
let off: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ http: { host: '127.0.0.1', port: 0 }, threadCount: 2 })
  blank = await LiveRelay.start({ certificate: undefined, home: { kind: 'blank' } })
  off = await LiveRelay.start({
    certificate: undefined,
    isDerpEnabled: false,
    home: { kind: 'redirect', url: 'https://example.com/' },
  })
})
afterAll(async () => {
  for (const server of [relay, blank, off]) await server[Symbol.asyncDispose]()
})

interface Answer {
  readonly status: string
  readonly fields: ReadonlyMap<string, string>
  readonly body: string
}

/** One request on a connection of its own, over TLS where the relay serves it. */
async function ask(target: LiveRelay, request: string, fields: string[] = []): Promise<Answer> {
  const socket =
    target.settings.certificate === undefined
      ? await RawSocket.plain(target.port)
      : await RawSocket.tls(target.port)
  return await exchange(socket, request, fields)
}

async function exchange(socket: RawSocket, request: string, fields: string[]): Promise<Answer> {
  socket.send([`${request} HTTP/1.1`, 'Host: localhost', ...fields, 'Connection: close', '', ''].join('\r\n'))
  const text = (await socket.ended()).toString('latin1')
  const [head = '', body = ''] = text.split('\r\n\r\n')
  const [status = '', ...lines] = head.split('\r\n')
  const pairs = lines.map((line) => {
    const colon = line.indexOf(': ')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)] as const
  })
  return { status: status.slice('HTTP/1.1 '.length), fields: new Map(pairs), body }
}

it('asks for an upgrade where there is none', async () => {
  const { status, fields, body } = await ask(relay, 'GET /derp')
  expect([status, body]).toEqual(['426 Upgrade Required', 'DERP requires connection upgrade\n'])
  expect(fields.get('content-type')).toBe('text/plain; charset=utf-8')
  expect(fields.get('x-content-type-options')).toBe('nosniff')
  expect(fields.has('upgrade')).toBe(false)
})

it.each(['Upgrade: DERP', 'Upgrade: derp', 'Upgrade: DeRp'])('accepts %s as an upgrade', async (upgrade) => {
  const socket = await RawSocket.tls(relay.port)
  socket.send(`GET /derp HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n\r\n`)
  expect((await socket.atLeast(12)).subarray(0, 12).toString()).toBe('HTTP/1.1 101')
  socket.destroy()
})

describe.each(['/derp/probe', '/derp/latency-check'])('%s', (path) => {
  it.each(['GET', 'HEAD'])('answers %s for every origin, with nothing in it', async (method) => {
    const { status, fields, body } = await ask(relay, `${method} ${path}`)
    expect([status, body]).toEqual(['200 OK', ''])
    expect(fields.get('access-control-allow-origin')).toBe('*')
  })

  it('refuses other methods', async () => {
    const { status, fields, body } = await ask(relay, `POST ${path}`, ['Content-Length: 0'])
    expect([status, body]).toEqual(['405 Method Not Allowed', 'bogus probe method\n'])
    expect(fields.has('access-control-allow-origin')).toBe(false)
  })
})

describe('the captive-portal check', () => {
  it.each(challenges)('answers the challenge $challenge', async ({ challenge, response }) => {
    const fields = challenge === undefined ? [] : [`X-Tailscale-Challenge: ${challenge}`]
    const plain = await RawSocket.plain(relay.addresses.http?.port ?? 0)
    for (const answer of [
      await ask(relay, 'GET /generate_204?t=1', fields),
      await exchange(plain, 'GET /generate_204?t=1', fields),
    ]) {
      expect([answer.status, answer.body]).toEqual(['204 No Content', ''])
      expect(answer.fields.get('x-tailscale-response')).toBe(response)
      expect(answer.fields.get('cache-control')).toBe(
        'no-cache, no-store, must-revalidate, no-transform, max-age=0',
      )
    }
  })
})

it('serves the home page for every other path: a page, an empty page or a redirect', async () => {
  const page = await ask(relay, 'GET /no/such/page')
  expect([page.status, page.fields.get('content-type')]).toEqual(['200 OK', 'text/html; charset=utf-8'])
  expect(page.body).toContain('<h1>DERP</h1>')
  expect(page.fields.get('x-frame-options')).toBe('DENY')
  expect((await ask(blank, 'GET /')).body).toBe('')
  const redirect = await ask(off, 'GET /')
  expect([redirect.status, redirect.fields.get('location')]).toEqual(['302 Found', 'https://example.com/'])
})

describe('the DERP map', () => {
  const FILE = 'regions:\n  900: { code: fra, nodes: [{ name: 900a, hostname: localhost }] }\n'

  it('is on the port where the operator publishes it, with the bytes of the admin port', async () => {
    using folder = new TemporaryFolder()
    const path = folder.write('regions.yaml', FILE)
    const read = readRegionsFile(path, FILE)
    const regions = 'regions' in read ? read.regions : []
    await using mapped = await LiveRelay.start({
      admin: { host: '127.0.0.1', port: 0 },
      threadCount: 2,
      mesh: { ...NO_MESH, regionsPath: path, regions, isMapServed: true },
    })
    for (const page of ['/derpmap.json', '/derpmap.yaml', '/derpmap.policy']) {
      const { status, fields, body } = await ask(mapped, `GET ${page}`)
      expect([status, body]).toEqual(['200 OK', await mapped.page(page)])
      const head = await ask(mapped, `HEAD ${page}`)
      expect([head.body, head.fields.get('content-length')]).toEqual(['', fields.get('content-length')])
      const unchanged = await ask(mapped, `GET ${page}`, [`If-None-Match: W/${fields.get('etag')}`])
      expect([unchanged.status, unchanged.body, unchanged.fields.has('content-length')]).toEqual([
        '304 Not Modified',
        '',
        false,
      ])
      expect((await ask(mapped, `GET ${page}`, ['If-None-Match: "x"'])).status).toBe('200 OK')
    }
  })

  it.each(['GET /derpmap.json', 'HEAD /derpmap.json.sig', 'GET /derpmap.yaml?x'])(
    'is nowhere else, and %s is told so in plain text',
    async (request) => {
      const { status, fields } = await ask(relay, request)
      expect([status, fields.get('content-type')]).toEqual(['404 Not Found', 'text/plain; charset=utf-8'])
    },
  )
})

it('disallows robots and refuses debug pages', async () => {
  expect((await ask(relay, 'GET /robots.txt')).body).toBe('User-agent: *\nDisallow: /\n')
  expect((await ask(relay, 'GET /debug/vars')).status).toBe('403 Forbidden')
})

it('publishes no bootstrap DNS if none is configured', async () => {
  const { status, fields, body } = await ask(relay, 'GET /bootstrap-dns')
  expect([status, fields.get('content-type'), body]).toEqual(['200 OK', 'application/json', ''])
})

it('reports that relaying is disabled', async () => {
  const { status, body } = await ask(off, 'GET /derp', ['Upgrade: DERP'])
  expect([status, body]).toEqual(['404 Not Found', 'derp server disabled\n'])
})

it('refuses to be a proxy', async () => {
  const { status, body } = await ask(relay, 'CONNECT example.com:443')
  expect([status, body]).toEqual(['403 Forbidden', 'CONNECT not enabled\n'])
})

it('redirects from the plain port to the TLS port', async () => {
  const get = await RawSocket.plain(relay.addresses.http?.port ?? 0)
  const { status, fields } = await exchange(get, 'GET /some/page?q=1', [])
  expect([status, fields.get('location')]).toEqual([
    '302 Found',
    `https://localhost:${relay.port}/some/page?q=1`,
  ])
  const post = await RawSocket.plain(relay.addresses.http?.port ?? 0)
  expect(await exchange(post, 'POST /', ['Content-Length: 0'])).toMatchObject({
    status: '400 Bad Request',
    body: 'Use HTTPS\n',
  })
})

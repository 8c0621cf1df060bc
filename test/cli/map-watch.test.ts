// `derpfleet map watch` beside a server that gives whole maps, broken ones, or none: the file is always a valid map.

import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { derpMapText } from '#fleet/derp-map-writer.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { waitUntil } from '../support/process.ts'
import { derpfleet, derpfleetProcess, startDerpfleet } from './program.ts'

const region = (id: number) => ({
  id,
  code: `r${id}`,
  name: 'r',
  nodes: [{ name: `${id}a`, hostname: 'a.example' }],
})
const MAP = derpMapText('json', [region(900), region(901)])
const LESS = derpMapText('json', [region(900)])
const YAML = derpMapText('headscale', [region(900), region(901)])

type Answer = (request: IncomingMessage, response: ServerResponse) => void
const text =
  (body: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, response) =>
    response.writeHead(status, headers).end(body)

let folder: TemporaryFolder
let server: Server
let answer: Answer
let url: string
let asked: (string | undefined)[]

beforeEach(async () => {
  folder = new TemporaryFolder()
  answer = text(MAP)
  asked = []
  server = createServer((request, response) => {
    asked.push(request.headers['if-none-match'])
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/derpmap.json`
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
  folder[Symbol.dispose]()
})

const lookOnce = async (...args: string[]) => await derpfleet(['map', 'watch', ...args, '-once'])

describe('one look', () => {
  it('keeps the bytes as they come, and leaves a file alone that has them', async () => {
    const path = folder.at('derp.json')
    const { code, stdout, stderr } = await lookOnce(url, '-o', path)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^\S+Z http:\S+: 2 regions, 2 nodes\n$/)
    expect(readFileSync(path, 'utf8')).toBe(MAP)
    const before = statSync(path)
    await lookOnce(url, '-o', path)
    expect([statSync(path).ino, statSync(path).mtimeMs]).toEqual([before.ino, before.mtimeMs])
    expect(readdirSync(folder.path)).toEqual(['derp.json'])
  })

  it.each<readonly [string, Answer, RegExp]>([
    ['nothing', text(''), /no regions/],
    ['an error in JSON', text('{"error":"overloaded"}', 503), /answers 503/],
    ['an error in JSON that claims to be none', text('{"error":"overloaded"}'), /no regions/],
    ['an empty map', text('{"Regions":{}}'), /has no regions/],
    ['a page', text('<html>welcome</html>'), /no regions/],
    ['half a map', text(MAP.slice(0, -40)), /neither JSON nor YAML/],
    [
      'half a body',
      (_, response) =>
        response.writeHead(200, { 'Content-Length': '9999' }).write(MAP, () => response.destroy()),
      /aborted/,
    ],
    ['a region without nodes', text(MAP.replace(/"Nodes":\[[^\]]*\]/, '"Nodes":[]')), /has no nodes/],
    ['a node without a name', text(MAP.replaceAll('"HostName":"a.example",', '')), /invalid/],
    ['304 to a first request', text('', 304), /304/],
    ['another place that refuses', text('', 302, { Location: 'http://127.0.0.1:1/' }), /ECONNREFUSED/],
    ['too much', text(' '.repeat(5_000_000)), /more than/],
    ['a reset', (_, response) => response.socket?.resetAndDestroy(), /ECONNRESET|hang up/],
  ])('at a server with %s keeps the file', async (_, broken, reason) => {
    const path = folder.write('derp.json', LESS)
    answer = broken
    const { code, stdout, stderr } = await lookOnce(url, '-o', path)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(reason)
    expect(stderr).toContain('there is no valid map')
    expect(readFileSync(path, 'utf8')).toBe(LESS)
  })

  it('goes on to the next place', async () => {
    const copy = folder.write('copy.json', LESS)
    const { code, stdout, stderr } = await lookOnce(
      'http://127.0.0.1:1/derpmap.json',
      copy,
      '-o',
      folder.at('derp.json'),
    )
    expect([code, stdout]).toEqual([0, expect.stringContaining(`${copy}: 1 regions`)])
    expect(stderr).toContain('ECONNREFUSED')
    expect(readFileSync(folder.at('derp.json'), 'utf8')).toBe(LESS)
  })

  it('accepts only maps that the key has signed', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const key = folder.write('map.pub', publicKey.export({ type: 'spki', format: 'pem' }).toString())
    const signature = sign(null, Buffer.from(MAP), privateKey).toString('base64')
    const look = async (signed: Answer): Promise<number | null> => {
      answer = signed
      return (await lookOnce(url, '-key', key, '-o', folder.at('derp.json'))).code
    }
    expect(await look(text(LESS, 200, { 'Derpfleet-Map-Signature': signature }))).toBe(1)
    expect(await look(text(MAP, 200, { 'Derpfleet-Map-Signature': 'AAAA' }))).toBe(1)
    // A server without the header has MAP at the place of its signature, too.
    expect(await look(text(MAP))).toBe(1)
    expect(existsSync(folder.at('derp.json'))).toBe(false)
    expect(await look(text(MAP, 200, { 'Derpfleet-Map-Signature': signature }))).toBe(0)
    const detached: Answer = (request, response) =>
      response.end(request.url?.endsWith('.sig') === true ? `${signature}\n` : MAP)
    expect(await look(detached)).toBe(0)
    const copy = folder.write('copy.json', MAP)
    expect((await lookOnce(copy, '-key', key)).code).toBe(1)
    folder.write('copy.json.sig', `${signature}\n`)
    expect((await lookOnce(copy, '-key', key)).code).toBe(0)
  })

  it('does not give Headscale a form in which it reads no regions', async () => {
    const path = folder.write('derp.yaml', YAML)
    const { code, stderr } = await lookOnce(url, '-o', path)
    expect([code, stderr]).toEqual([1, expect.stringContaining('use /derpmap.yaml')])
    expect(readFileSync(path, 'utf8')).toBe(YAML)
    const upper = YAML.replaceAll(
      /^( *(?:- )?)([a-z])/gm,
      (_, indent: string, letter: string) => indent + letter.toUpperCase(),
    )
    for (const other of [derpMapText('policy', [region(900)]), upper]) {
      answer = text(other)
      expect((await lookOnce(url)).code).toBe(0)
      expect((await lookOnce(url, '-o', path)).code).toBe(1)
      expect(readFileSync(path, 'utf8')).toBe(YAML)
    }
    answer = text(YAML.replaceAll('901', '902'))
    expect((await lookOnce(url, '-o', path)).code).toBe(0)
    expect(readFileSync(path, 'utf8')).toContain('902')
  })

  it('writes through no link', async () => {
    const other = folder.write('other', 'precious')
    symlinkSync(other, folder.at('.derp.json.new'))
    expect((await lookOnce(url, '-o', folder.at('derp.json'))).code).toBe(0)
    expect(readFileSync(other, 'utf8')).toBe('precious')
    expect(lstatSync(folder.at('derp.json')).isFile()).toBe(true)
  })

  it('takes no regions file for a map', async () => {
    const file = folder.write(
      'regions.yaml',
      'regions: { 900: { code: a, nodes: [{ name: a, hostname: a.lab }] } }',
    )
    const { code, stderr } = await lookOnce(file, '-o', folder.at('derp.yaml'))
    expect([code, stderr]).toEqual([1, expect.stringContaining('makes a map of a regions file')])
    expect(existsSync(folder.at('derp.yaml'))).toBe(false)
  })

  it('says why a file cannot be written', async () => {
    mkdirSync(folder.at('derp.json'))
    const { code, stderr } = await lookOnce(url, '-o', folder.at('derp.json'))
    expect([code, stderr]).toEqual([1, expect.stringContaining('is not written')])
  })

  it.each([
    [[]],
    [['x.json', '-interval', '0s']],
    [['x.json', '-key', '/no/such/key']],
    [['https://u:p@h/x']],
  ])('is misused by %j', async (args) => {
    expect((await lookOnce(...args)).code).toBe(2)
  })
})

describe('a stale map', () => {
  const STALE = { 'Derpfleet-Map-Stale': 'true' }

  it('counts less than one of the next place that is not, and more than none', async () => {
    await using other = await place(LESS)
    answer = text(MAP, 200, STALE)
    expect((await lookOnce(url, other.url)).stdout).toMatch(/: 1 regions, 1 nodes\n$/)
    expect((await lookOnce(url, 'http://127.0.0.1:1/derpmap.json')).stdout).toMatch(/2 regions, .*stale: /)
    expect((await lookOnce('http://127.0.0.1:1/derpmap.json', url)).stdout).toMatch(/2 regions, .*stale: /)
    other.headers = STALE
    expect((await lookOnce(url, other.url)).stdout).toMatch(/2 regions, .*stale: /)
  })

  it('counts more than a file of an unknown age', async () => {
    answer = text(MAP, 200, STALE)
    expect((await lookOnce(url, folder.write('copy.json', LESS))).stdout).toMatch(/2 regions, .*stale: /)
  })

  it('is left while it is stale', async () => {
    await using other = await place(LESS)
    answer = text(MAP)
    await using watch = await startDerpfleet(['map', 'watch', url, other.url, '-interval', '1s'], {
      readyWhen: /2 regions/,
    })
    answer = text(MAP, 200, STALE)
    await waitUntil('it takes the other', () => watch.output.includes('- region 901'))
    expect(watch.output).not.toContain('stale')
  })

  /** A second server, whose map is always the same. */
  async function place(
    body: string,
  ): Promise<{ readonly url: string; headers: Readonly<Record<string, string>> } & AsyncDisposable> {
    const second = createServer((_, response) => response.writeHead(200, made.headers).end(body))
    const made = {
      url: '',
      headers: {} as Readonly<Record<string, string>>,
      async [Symbol.asyncDispose]() {
        second.closeAllConnections()
        await new Promise((resolve) => second.close(resolve))
      },
    }
    second.listen(0, '127.0.0.1')
    await once(second, 'listening')
    made.url = `http://127.0.0.1:${(second.address() as AddressInfo).port}/derpmap.json`
    return made
  }
})

it('follows: prints changes, asks by tag, tells of trouble once, and the file has the last valid map', async () => {
  const path = folder.at('derp.json')
  let tag = '"v1"'
  let body = MAP
  let stale: Readonly<Record<string, string>> = {}
  const tagged: Answer = (request, response) => {
    if (request.headers['if-none-match'] === tag) return response.writeHead(304, stale).end()
    return response.writeHead(200, { ETag: tag }).end(body)
  }
  answer = tagged
  await using watch = await startDerpfleet(['map', 'watch', url, '-o', path, '-interval', '1s'], {
    readyWhen: /2 regions/,
  })
  await waitUntil('it asks by the tag', () => asked.at(-1) === '"v1"')
  ;[tag, body] = ['"v2"', LESS]
  await waitUntil('it prints the change', () => watch.output.includes('- region 901'))
  expect(readFileSync(path, 'utf8')).toBe(LESS)
  stale = { 'Derpfleet-Map-Stale': 'true' }
  await waitUntil('it tells of a map that is stale', () => /1 regions, 1 nodes, stale: /.test(watch.output))
  stale = {}
  await waitUntil('and of one that is not any more', () =>
    /stale: .*\n.*1 regions, 1 nodes\n/.test(watch.output),
  )
  answer = text('{"error":"overloaded"}', 503)
  await waitUntil('it tells of trouble', () => watch.output.includes('the last map stays'))
  const count = asked.length
  await waitUntil('it asks again', () => asked.length > count + 1)
  expect(watch.output.match(/answers 503/g)).toHaveLength(1)
  expect(readFileSync(path, 'utf8')).toBe(LESS)
  answer = tagged
  await waitUntil('all is well', () => watch.output.includes('all is well again'))
})

it('trusts the authorities that the system trusts, and those of -ca besides', async () => {
  const authority = await makeAuthority(folder.path, 'authority')
  const { certPath, keyPath } = await issueCertificate(folder.path, 'localhost', authority)
  const pem = { cert: readFileSync(certPath), key: readFileSync(keyPath) }
  const secured = createTlsServer(pem, (_, response) => response.end(MAP)).listen(0, '127.0.0.1')
  await once(secured, 'listening')
  try {
    const at = `https://localhost:${(secured.address() as AddressInfo).port}/derpmap.json`
    const look = async (env: Record<string, string>, ...args: string[]) =>
      (await derpfleetProcess(['map', 'watch', at, '-once', ...args], { env })).code
    expect(await look({})).toBe(1)
    expect(await look({ SSL_CERT_FILE: authority.certPath })).toBe(0)
    expect(await look({}, '-ca', authority.certPath)).toBe(0)
  } finally {
    secured.closeAllConnections()
    secured.close()
  }
})

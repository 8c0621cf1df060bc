// Probes of whole DERP maps: from files and URLs, with mistakes, and with regions whose relays are or are not meshed.

import { readFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { goodPair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { makeAuthority, makeCertificate, type Certificate } from '../support/certificate.ts'
import { startRelay, type Relay } from '../support/process.ts'
import { derpfleet } from '../cli/program.ts'
import { Listener, OWN_RELAY, probed } from './probe-program.ts'

let folders: readonly [TemporaryFolder, TemporaryFolder]
let certificate: Certificate
let relays: readonly [Relay, Relay]

beforeAll(async () => {
  folders = [new TemporaryFolder(), new TemporaryFolder()]
  certificate = await makeCertificate(folders[0].path, 'localhost')
  folders[1].write('localhost.crt', readFileSync(certificate.certPath, 'utf8'))
  folders[1].write('localhost.key', readFileSync(certificate.keyPath, 'utf8'))
  const [one, two] = folders.map((folder) => startRelay({ ...OWN_RELAY, folder: folder.path }))
  if (one === undefined || two === undefined) throw new Error('two relays are started')
  relays = [await one, await two]
})

afterAll(async () => {
  for (const relay of relays) await relay[Symbol.asyncDispose]()
  for (const folder of folders) folder[Symbol.dispose]()
})

function node(name: string, { port, stunPort }: Relay, more: object = {}): object {
  return {
    Name: name,
    RegionID: Number.parseInt(name, 10),
    HostName: 'localhost',
    CertName: `sha256-raw:${certificate.sha256}`,
    IPv4: '127.0.0.1',
    IPv6: 'none',
    DERPPort: port,
    STUNPort: stunPort,
    ...more,
  }
}

function region(id: number, code: string, nodes: readonly object[]): object {
  return { [id]: { RegionID: id, RegionCode: code, Nodes: nodes } }
}

function mapText(...regions: readonly object[]): string {
  return JSON.stringify({ Regions: Object.assign({}, ...regions) })
}

function mapFile(...regions: readonly object[]): string {
  return folders[0].write('map.json', mapText(...regions))
}

test('probes every node of every region, in the order of the map', async () => {
  const lab = region(901, 'lab', [node('901a', relays[0])])
  const home = region(900, 'home', [node('900a', relays[1])])
  const found = await probed([mapFile(lab, home)])
  expect([found.code, found.named('fail')]).toEqual([0, []])
  expect(found.report.map).toMatchObject({ name: 'map', status: 'ok', detail: '2 regions, 2 nodes' })
  expect(found.report.nodes.map(({ name, serverKey }) => [name, serverKey])).toEqual([
    ['900a', `nodekey:${relays[1].publicKey}`],
    ['901a', `nodekey:${relays[0].publicKey}`],
  ])
  expect(found.report.mesh).toEqual([])
})

test.each(['lab', '901'])('probes the region %s alone', async (wanted) => {
  const path = mapFile(
    region(900, 'home', [node('900a', relays[0])]),
    region(901, 'lab', [node('901a', relays[1])]),
  )
  const found = await probed([pathToFileURL(path).href, '-region', wanted])
  expect([found.code, found.report.nodes.map(({ name }) => name)]).toEqual([0, ['901a']])
})

test('a region that is not in the map is an invalid command line', async () => {
  const path = mapFile(region(900, 'home', [node('900a', relays[0])]))
  const { code, stdout, stderr } = await derpfleet(['probe', path, '-region', 'mars'])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain('"mars" is not in the map; expected one of home')
})

test('two relays of a region that are not meshed fail the mesh checks', async () => {
  const path = mapFile(region(900, 'lab', [node('900a', relays[0]), node('900b', relays[1])]))
  const found = await probed([path, '-timeout', '2s'])
  expect([found.code, found.named('fail')]).toEqual([1, []])
  expect(found.report.mesh.map(({ regionId, from, to, status }) => [regionId, from, to, status])).toEqual([
    [900, '900a', '900b', 'fail'],
    [900, '900b', '900a', 'fail'],
  ])
  expect(found.report.mesh[0]?.hint).toContain('mesh the relays of a region')
})

test('one relay under two names passes the mesh checks', async () => {
  const path = mapFile(region(900, 'lab', [node('900a', relays[0]), node('900b', relays[0])]))
  const found = await probed([path])
  expect([found.code, found.report.mesh.map(({ status }) => status)]).toEqual([0, ['ok', 'ok']])
})

test('of a STUN-only node only STUN is checked', async () => {
  const more = { STUNOnly: true, DERPPort: 1 }
  const found = await probed([mapFile(region(900, 'lab', [node('900a', relays[0], more)]))])
  expect([found.code, found.named('ok')]).toEqual([0, ['addresses', 'stun 4']])
})

test('a map with a mistake fails, and its valid nodes are probed', async () => {
  const path = mapFile(region(900, 'lab', [node('900a', relays[0]), { Name: '900b' }]))
  const found = await probed([path])
  expect([found.code, found.report.nodes.map(({ ok }) => ok)]).toEqual([1, [true]])
  expect(found.report.map).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining('node 2: hostname'),
  })
})

test('a node with InsecureForTests is still verified by its pin, and gets no secret', async () => {
  const psk = folders[0].write('psk', '6d'.repeat(32))
  const more = { InsecureForTests: true, CertName: '' }
  const path = mapFile(
    region(900, 'lab', [node('900a', relays[0], more)]),
    region(901, 'lab2', [node('901a', relays[0], { ...more, CertName: `sha256-raw:${'0'.repeat(64)}` })]),
  )
  const found = await probed([path])
  expect(found.report.nodes.map(({ ok }) => ok)).toEqual([true, false])
  expect(found.named('fail')).toEqual(['certificate'])
  const withKey = await probed([path, '-mesh-psk-file', psk, '-region', 'lab'])
  expect(withKey.textOf('login')).toContain('the mesh key is not sent')
})

test('each format that `derpfleet map` prints can be probed', async () => {
  const args = ['-hostname', 'localhost', '-a', `127.0.0.1:${relays[0].port}`, '-cert', certificate.certPath]
  const stun = ['-stun-port', `${relays[0].stunPort}`]
  for (const format of ['headscale', 'json', 'policy']) {
    const { stdout } = await derpfleet(['map', '-format', format, ...args, ...stun])
    const found = await probed([folders[0].write(`derp-${format}.yaml`, stdout), '-ipv4'])
    expect([format, found.code, found.named('fail')]).toEqual([format, 0, []])
  }
})

describe('a map at a URL', () => {
  test('is fetched, through redirects', async () => {
    await using web = await Listener.http((request, response) => {
      if (request.url === '/map') response.end(mapText(region(900, 'lab', [node('900a', relays[0])])))
      else response.writeHead(302, { Location: '/map' }).end()
    })
    const found = await probed([`http://127.0.0.1:${web.port}/derpmap/default`])
    expect([found.code, found.report.map?.status]).toEqual([0, 'ok'])
  })

  test('is fetched over TLS from a server that the user trusts', async () => {
    const pair = goodPair('localhost')
    const server = createHttpsServer({ cert: pair.certificate, key: pair.key }, (_request, response) => {
      response.end(mapText(region(900, 'lab', [node('900a', relays[0])])))
    })
    await using web = await Listener.start(server)
    const url = `https://localhost:${web.port}/derpmap.json`
    const ca = folders[0].write('ca.pem', pair.certificate)
    expect((await probed([url, '-ca', ca])).code).toBe(0)
    const untrusted = await probed([url])
    expect([untrusted.code, untrusted.report.nodes, untrusted.report.map?.status]).toEqual([1, [], 'fail'])
    expect(untrusted.report.map?.hint).toContain('-ca FILE')
  })

  test('is not accepted from a server whose certificate has the name only as its common name', async () => {
    using folder = new TemporaryFolder()
    const bare = await makeAuthority(folder.path, 'localhost')
    const [cert, key] = [bare.certPath, bare.keyPath].map((path) => readFileSync(path, 'utf8'))
    const server = createHttpsServer({ cert, key }, (_request, response) => {
      response.end(mapText(region(900, 'lab', [node('900a', relays[0])])))
    })
    await using web = await Listener.start(server)
    const { code, report } = await probed([`https://localhost:${web.port}/map`, '-ca', bare.certPath])
    expect([code, report.map?.status]).toEqual([1, 'fail'])
    expect(report.map?.detail).toMatch(/altnames|localhost/)
  })

  test.each([
    ['does not exist', 404, 'gone', 'answers 404'],
    ['is a page', 200, '<html><p>Hello</html>', 'no regions'],
    ['is empty', 200, '{"Regions": {}}', 'has no nodes'],
    ['has no end', 200, 'x'.repeat(5_000_000), 'is not a map'],
  ])('fails if it %s', async (_case, status, text, expected) => {
    await using web = await Listener.http((_request, response) => response.writeHead(status).end(text))
    const found = await probed([`http://127.0.0.1:${web.port}/map`])
    expect([found.code, found.report.map?.status, found.report.nodes]).toEqual([1, 'fail', []])
    expect(found.report.map?.detail).toContain(expected)
  })

  test('is not fetched through endless redirects', async () => {
    await using web = await Listener.http((_request, response) => {
      response.writeHead(302, { Location: '/map' }).end()
    })
    const found = await probed([`http://127.0.0.1:${web.port}/map`])
    expect(found.report.map?.detail).toContain('more than 3 redirects')
  })
})

test('a file that does not exist fails', async () => {
  const found = await probed([folders[0].at('none.json')])
  expect([found.code, found.report.map?.detail]).toEqual([1, `${folders[0].at('none.json')} does not exist`])
})

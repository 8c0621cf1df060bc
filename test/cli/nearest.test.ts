// `derpfleet nearest` on loopback: exit codes, and the words for what is wrong. Which home is chosen, beside the real client,
// is in test/integration/nearest.test.ts.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { freePort, startRelay, type Relay } from '../support/process.ts'
import { Listener, OWN_RELAY } from '../probe/probe-program.ts'
import { derpfleet } from './program.ts'

let folder: string
let certificate: Certificate
let relay: Relay

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearest-'))
  certificate = await makeCertificate(folder, 'localhost')
  relay = await startRelay({ ...OWN_RELAY, folder })
  // A relay's STUN may begin a moment after its TLS.
  await askStun('127.0.0.1', relay.stunPort, 10_000)
})

afterAll(async () => {
  await relay?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

/** The path of a map with this region, whose only node is the relay with these fields replaced. */
async function mapFile(node: object = {}, region: object = {}): Promise<string> {
  const address = { IPv4: '127.0.0.1', IPv6: 'none', DERPPort: relay.port, STUNPort: relay.stunPort }
  const CertName = `sha256-raw:${certificate.sha256}`
  const Nodes = [{ Name: '900a', RegionID: 900, HostName: 'localhost', ...address, CertName, ...node }]
  const path = join(folder, 'map.json')
  const Regions = { 900: { RegionID: 900, RegionCode: 'fra', RegionName: 'Frankfurt', Nodes, ...region } }
  await writeFile(path, JSON.stringify({ Regions }))
  return path
}

test('a working region is the home, and has all its times', async () => {
  const { code, stdout, stderr } = await derpfleet(['nearest', '-map', await mapFile()])
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^ {2}1 {2}fra \(900\) +[\d.]+ ms +[\d.]+ ms +- +[\d.]+ ms +[\d.]+ ms {2}home$/m)
  expect(stdout).toContain('A Tailscale client takes fra (900) as its home: ')
  expect(code).toBe(0)
})

test('STUN answers, but the relay does not', async () => {
  const map = await mapFile({ DERPPort: await freePort() })
  const { code, stdout } = await derpfleet(['nearest', '-map', map, '-from', '900'])
  expect(stdout).toContain('fra (900) answers STUN, but its relay does not work: connection refused')
  expect(code).toBe(0)
})

test('a certificate that clients refuse', async () => {
  const map = await mapFile({ CertName: `sha256-raw:${'0'.repeat(64)}` })
  const { stdout } = await derpfleet(['nearest', '-map', map])
  expect(stdout).toMatch(/its relay does not work: certName: expected a certificate with SHA-256 0{64}/)
})

test('a regions file is no map', async () => {
  const file = join(folder, 'regions.yaml')
  await writeFile(file, 'regions: { 900: { code: a, nodes: [{ name: a, hostname: a.lab }] } }')
  const { code, stderr } = await derpfleet(['nearest', '-map', file])
  expect([code, stderr]).toEqual([1, expect.stringContaining('it is a regions file and no DERP map')])
})

test('HTTPS decides without STUN', async () => {
  const map = await mapFile({ STUNPort: -1 })
  const { code, stdout } = await derpfleet(['nearest', '-map', map, '-json'])
  expect(code).toBe(0)
  const report = JSON.parse(stdout) as Record<string, unknown>
  expect(report).toMatchObject({
    home: { id: 900, code: 'fra' },
    reason: 'first',
    isUdpBlocked: true,
    remarks: ['No region of the map has STUN. Clients measure by HTTPS instead, after waiting 3 s for STUN.'],
    regions: [{ id: 900, rank: 1, stunIpv4Ms: null, httpsMs: expect.any(Number), failure: null }],
  })
})

test('no region answers', async () => {
  const port = await freePort()
  const { code, stdout } = await derpfleet([
    'nearest',
    '-map',
    await mapFile({ STUNPort: port, DERPPort: port }),
  ])
  expect(stdout).toContain('No region answers, so a Tailscale client has no measured home.')
  expect(stdout).toContain('note: No region answers, neither by STUN nor by HTTPS.')
  expect(code).toBe(1)
})

test('a drained region is no home', async () => {
  const { code, stdout } = await derpfleet(['nearest', '-map', await mapFile({}, { NoMeasureNoHome: true })])
  expect(stdout).toContain('Not measured and never a home: fra (900) (NoMeasureNoHome).')
  expect(code).toBe(1)
})

test('a map that cannot be read', async () => {
  await using empty = await Listener.http((_request, response) => response.end('{"Regions": {}}'))
  await using failing = await Listener.http((_request, response) => response.writeHead(503).end())
  const at = (port: number): string => `http://127.0.0.1:${port}/derpmap.json`
  for (const [map, words] of [
    [join(folder, 'missing.json'), 'missing.json'],
    [at(await freePort()), 'ECONNREFUSED'],
    [at(failing.port), 'answers 503'],
    [at(empty.port), 'the map has no nodes'],
  ] as const) {
    const { code, stdout, stderr } = await derpfleet(['nearest', '-map', map])
    expect(stderr).toContain('derpfleet nearest: nothing measured: the map cannot be used: ')
    expect(stderr).toContain(words)
    expect([stdout, code]).toEqual(['', 1])
  }
})

test('a map of too many regions is refused', async () => {
  const regions = Array.from({ length: 1_001 }, (_, i) => [
    i + 1,
    { Nodes: [{ Name: `${i}`, HostName: 'h' }] },
  ])
  const path = join(folder, 'large.json')
  await writeFile(path, JSON.stringify({ Regions: Object.fromEntries(regions) as object }))
  const { code, stderr } = await derpfleet(['nearest', '-map', path])
  expect(stderr).toContain('the map has 1001 regions; expected at most 1000')
  expect(code).toBe(2)
})

test(
  'a thousand regions that answer nothing take no longer than clients wait',
  { timeout: 60_000 },
  async () => {
    const port = await freePort()
    const node = { HostName: 'localhost', IPv4: '127.0.0.1', IPv6: 'none', STUNPort: port, DERPPort: port }
    const regions = Array.from({ length: 1_000 }, (_, i) => [i + 1, { Nodes: [{ Name: `${i}a`, ...node }] }])
    const path = join(folder, 'silent.json')
    await writeFile(path, JSON.stringify({ Regions: Object.fromEntries(regions) as object }))
    const { code, stdout } = await derpfleet(['nearest', '-map', path, '-json'])
    expect(code).toBe(1)
    const { seconds } = JSON.parse(stdout) as { seconds: number }
    expect(seconds).toBeLessThan(30)
  },
)

test.each([
  [[], '-map: missing; expected the path or URL of a DERP map (JSON or YAML)'],
  [['-map', 'm.json', '-from'], '-from'],
  [['-map', 'm.json', 'more'], 'more'],
])('arguments %j', async (args, words) => {
  const { code, stderr } = await derpfleet(['nearest', ...args])
  expect(stderr).toContain(words)
  expect(code).toBe(2)
})

test('a home that is not in the map', async () => {
  const { code, stderr } = await derpfleet(['nearest', '-map', await mapFile(), '-from', 'nyc'])
  expect(stderr).toBe('derpfleet nearest: nothing measured: -from: region "nyc" is not in the map\n')
  expect(code).toBe(2)
})

// What a probe prints, on a terminal and elsewhere, and the shape of its JSON, which programs rely on.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Io } from '#cli/command.ts'
import { probe } from '#cli/probe.ts'
import { checkOf, type CheckName, type Outcome } from '#probe/check.ts'
import { checkLines, plain } from '#cli/probe-table.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { freeTcpPort, startRelay, type Relay } from '../support/process.ts'
import { derpfleet } from './program.ts'
import { OWN_RELAY, probed } from '../probe/probe-program.ts'

const folder = new TemporaryFolder()
let certificate: Certificate
let relay: Relay

beforeAll(async () => {
  certificate = await makeCertificate(folder.path, 'localhost')
  relay = await startRelay({ ...OWN_RELAY, folder: folder.path })
})

afterAll(async () => {
  await relay[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const target = (): readonly string[] => [
  `127.0.0.1:${relay.port}`,
  `sha256-raw:${certificate.sha256}`,
  '-stun-port',
  `${relay.stunPort}`,
]

test('prints one aligned line for each check, and a summary', async () => {
  const { code, stdout, stderr } = await derpfleet(['probe', ...target(), '-websocket=false'])
  expect([code, stderr]).toEqual([0, ''])
  const lines = stdout.split('\n')
  expect(lines[0]).toBe(`127.0.0.1:${relay.port}`)
  expect(lines).toContain('  ok    addresses                         127.0.0.1')
  expect(lines).toContain(`  skip  websocket                         switched off (-websocket=false)`)
  expect(stdout).toMatch(/^ {2}ok {4}tcp IPv4 {14,20}\d+\.\d ms {2}127\.0\.0\.1, port \d+$/m)
  expect(stdout).toMatch(/^ {2}ok {4}packet {16,22}\d+\.\d ms {2}10 × 1400 bytes and back, median$/m)
  expect(stdout).toMatch(/\n\n14 ok, 0 failed, 1 skipped in \d+\.\d s\n$/)
})

test('names the relays that are not good', async () => {
  const port = await freeTcpPort()
  const { code, stdout } = await derpfleet(['probe', `127.0.0.1:${port}`, '-stun-port', '-1'])
  expect(code).toBe(1)
  expect(stdout).toMatch(/1 ok, 1 failed, \d+ skipped in \d+\.\d s; not good: 127\.0\.0\.1:\d+\n$/)
  expect(stdout.match(/no TCP connection/g)).toHaveLength(1)
})

test('gives every line and hint its place, and neighbours with one reason for a skip a common line', () => {
  const check = (name: CheckName, outcome: Outcome<unknown>, family?: 4 | 6): ReturnType<typeof checkOf> =>
    checkOf(name, family, outcome)
  const lines = checkLines(
    [
      check('stun', { status: 'ok', value: 1, detail: 'sees 192.0.2.7:1', ms: 1_234.56 }, 4),
      check('stun', { status: 'skip', detail: 'no IPv6 address' }, 6),
      check('tls', { status: 'fail', detail: 'said\u001b[2J\nnonsense', hint: 'do this' }),
      check('ping', { status: 'skip', detail: 'no login' }),
      check('packet', { status: 'skip', detail: 'no login' }),
    ],
    plain,
  )
  expect(lines).toBe(
    `  ok    stun IPv4              1234.6 ms  sees 192.0.2.7:1
  skip  stun IPv6                         no IPv6 address
  FAIL  tls                               said [2J nonsense
        → do this
  skip  ping, packet: no login
`,
  )
})

test.each([
  ['in colours on a terminal', true, {}, true],
  ['without on a terminal, if its user wants none', true, { NO_COLOR: '1' }, false],
  ['without on a terminal that has none', true, { TERM: 'dumb' }, false],
  ['without elsewhere', false, {}, false],
])('prints %s', async (_where, isTTY, env, isColourful) => {
  let printed = ''
  const stdout = { isTTY, write: (text: string) => (printed += text) }
  const io: Io = {
    stdout,
    stderr: stdout,
    env,
    signals: undefined,
    endAtOnce: () => {
      throw new Error('not asked for here')
    },
  }
  const port = await freeTcpPort()
  expect(await probe.run([`127.0.0.1:${port}`, '-stun-port', '-1'], io)).toBe(1)
  expect(printed.includes('\u001b[1;31mFAIL\u001b[0m')).toBe(isColourful)
  expect(printed.includes('\u001b')).toBe(isColourful)
})

test('prints JSON of this shape', async () => {
  const { report } = await probed([...target(), '-websocket=false'])
  expect(report).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    target: `127.0.0.1:${relay.port}`,
    startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    seconds: expect.any(Number),
    ok: true,
    counts: { ok: 14, fail: 0, skip: 1 },
    map: null,
    nodes: [
      {
        name: null,
        region: null,
        host: '127.0.0.1',
        port: relay.port,
        ok: true,
        addresses: ['127.0.0.1'],
        serverKey: `nodekey:${relay.publicKey}`,
        seenAs: { ipv4: expect.stringMatching(/^127\.0\.0\.1:\d+$/), ipv6: null },
        certificate: {
          pin: `sha256-raw:${certificate.sha256}`,
          names: ['localhost'],
          issuer: 'localhost',
          isSelfSigned: true,
          chainLength: 1,
          validFrom: expect.stringMatching(/Z$/),
          validUntil: expect.stringMatching(/Z$/),
          daysLeft: expect.any(Number),
        },
        checks: expect.any(Array),
      },
    ],
    mesh: [],
  })
  expect(report.nodes[0]?.checks.filter(({ name }) => name === 'tcp' || name === 'websocket')).toEqual([
    {
      name: 'tcp',
      family: 4,
      status: 'ok',
      ms: expect.any(Number),
      detail: `127.0.0.1, port ${relay.port}`,
      hint: null,
    },
    {
      name: 'websocket',
      family: null,
      status: 'skip',
      ms: null,
      detail: 'switched off (-websocket=false)',
      hint: null,
    },
  ])
})

test("a map's relays, pairs and mistakes have this shape", async () => {
  const at = { IPv4: '127.0.0.1', IPv6: 'none', DERPPort: relay.port, STUNPort: -1 }
  const node = { HostName: 'localhost', CertName: target()[1], ...at }
  const Nodes = [
    { Name: '900a', ...node },
    { Name: '900b', ...node },
  ]
  const map = folder.write('map.json', JSON.stringify({ Regions: { 900: { RegionCode: 'lab', Nodes } } }))
  const { report } = await probed([map])
  expect(report.map).toEqual({
    name: 'map',
    family: null,
    status: 'ok',
    ms: expect.any(Number),
    detail: '1 region, 2 nodes',
    hint: null,
  })
  expect(report.nodes[1]).toMatchObject({ name: '900b', region: { id: 900, code: 'lab' }, host: 'localhost' })
  expect(report.mesh[0]).toEqual({
    regionId: 900,
    from: '900a',
    to: '900b',
    status: 'ok',
    ms: expect.any(Number),
    detail: 'a packet came through',
    hint: null,
  })
})

test("a map's relays stand in its order, under titles that tell where they are", async () => {
  const node = { HostName: '127.0.0.1', DERPPort: relay.port, STUNPort: -1 }
  const regions = Object.fromEntries(
    [900, 901, 902, 903, 904, 905].map((id) => [
      id,
      { RegionCode: `r${id}`, Nodes: [{ Name: `${id}a`, ...node }] },
    ]),
  )
  const map = folder.write('six.json', JSON.stringify({ Regions: regions }))
  const { stdout } = await derpfleet(['probe', map, '-insecure', '-websocket=false'])
  expect(
    [...stdout.matchAll(/^region (\d+ \S+), (\S+) \(127.0.0.1:\d+\)$/gm)].map(([, code]) => code),
  ).toEqual([900, 901, 902, 903, 904, 905].map((id) => `${id} r${id}`))
})

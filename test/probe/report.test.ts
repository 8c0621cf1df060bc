// The JSON of a probe. Programs rely on its shape.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { startRelay, type Relay } from '../support/process.ts'
import { OWN_RELAY, probed } from './probe-program.ts'

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

test('the JSON of a single relay has this shape', async () => {
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
      detail: 'disabled (-websocket=false)',
      hint: null,
    },
  ])
})

test('the JSON of a map has this shape', async () => {
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
    detail: 'a packet arrived',
    hint: null,
  })
})

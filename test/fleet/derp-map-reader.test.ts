import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import { problemText } from '#fleet/problem.ts'

function read(text: string): DerpMap {
  const map = readDerpMap(text)
  if ('fault' in map) throw new Error(map.fault)
  return map
}

function problemsOf(map: object): readonly string[] {
  return read(JSON.stringify(map)).problems.map(problemText)
}

const NODE = { Name: '900a', RegionID: 900, HostName: 'relay.example' }

const FULL = {
  name: '900a',
  hostname: 'relay.example',
  ipv4: '192.0.2.7',
  ipv6: 'none',
  stunPort: -1,
  derpPort: 8443,
  isInsecureForTests: true,
  canPort80: true,
}

test("reads Tailscale's JSON, field names in any case, null as absent", () => {
  const text = `{"OmitDefaultRegions": true, "Regions": {"7": null, "900": {"RegionID": 900, "regioncode": "lab", "RegionName": "Lab", "Latitude": 50.1,
    "NODES": [{"Name": "900a", "RegionID": 900, "hostName": "relay.example", "CertName": null, "IPv4": "192.0.2.7",
    "IPV6": "none", "STUNPort": -1, "DERPPort": 8443, "InsecureForTests": true, "CanPort80": true}]}}}`
  expect(read(text)).toEqual({
    regions: [{ id: 900, code: 'lab', name: 'Lab', latitude: 50.1, nodes: [FULL] }],
    scores: new Map(),
    problems: [],
  })
})

test('reads what clients choose their home by; scores of 0 and less are ignored by clients', () => {
  const regions = { 900: { NoMeasureNoHome: true, Nodes: [NODE] }, 901: { Avoid: true, Nodes: [] } }
  const given = { 900: 1.5, 901: 0, 902: -1, x: 2 }
  const map = read(JSON.stringify({ HomeParams: { RegionScore: given }, Regions: regions }))
  expect(map.regions).toMatchObject([{ state: 'draining' }, { isAvoid: true }])
  expect(map.scores).toEqual(new Map([[900, 1.5]]))
  const bad = read(JSON.stringify({ HomeParams: { RegionScore: { ...given, 900: 'x' } }, Regions: regions }))
  expect(bad.scores).toEqual(new Map())
})

test("reads Headscale's YAML, also a name that is a number to YAML", () => {
  const text = `regions:
  901:
    regionid: 901
    regioncode: lab
    nodes:
      - name: 901
        regionid: 901
        hostname: relay.example
`
  const [region] = read(text).regions
  expect(region?.nodes[0]).toEqual({ name: '901', hostname: 'relay.example' })
})

test('reads the mark of a drained region and the scores, without those that clients ignore', () => {
  const map = read(
    JSON.stringify({
      HomeParams: { RegionScore: { 900: 0.4, 901: 0, 902: -1, x: 2 } },
      Regions: { 900: { NoMeasureNoHome: true, Nodes: [NODE] }, 901: { Nodes: [{ ...NODE, Name: '901a' }] } },
    }),
  )
  expect(map.scores).toEqual(new Map([[900, 0.4]]))
  expect(map.regions.map(({ state }) => state)).toEqual(['draining', undefined])
})

test('reads a map whose scores are no scores', () => {
  const map = read(JSON.stringify({ HomeParams: { RegionScore: 'x' }, Regions: { 900: { Nodes: [NODE] } } }))
  expect([map.scores.size, map.regions.length]).toEqual([0, 1])
})

test('reads the member of a policy file', () => {
  const text = `"derpMap": ${JSON.stringify({ Regions: { 900: { Nodes: [NODE] } } })}`
  expect(read(text).regions).toHaveLength(1)
})

test.each([
  [{ 0: { Nodes: [NODE] } }, 'region 0: invalid region number "0"; expected 1 to 65535'],
  [{ 65536: { Nodes: [NODE] } }, 'region 65536: invalid region number "65536"; expected 1 to 65535'],
  [
    { 900: { RegionID: 901, Nodes: [NODE] } },
    'region 900: RegionID is 901; expected 900, the same as its key',
  ],
  [{ 900: {} }, 'region 900: has no nodes; expected at least one node'],
  [
    { 900: { Nodes: [{ ...NODE, RegionID: 1 }] } },
    "region 900, node 1: RegionID is 1; expected 900, the same as its region's",
  ],
  [
    { 900: { Nodes: [NODE] }, 901: { Nodes: [{ ...NODE, RegionID: 901 }] } },
    'region 901, node 1: name "900a" is already used by region 900, node 1; expected a unique name',
  ],
])('reports a problem in %j', (regions, problem) => {
  expect(problemsOf({ Regions: regions })).toEqual([problem])
})

test('problems of one node do not hide the others', () => {
  const bad = [{ ...NODE, HostName: '' }, { ...NODE, DERPPort: 70_000 }, { ...NODE, Name: 'a\u001b[2J' }, 'x']
  const map = read(JSON.stringify({ Regions: { 900: { Nodes: [...bad, NODE] } } }))
  expect(map.regions[0]?.nodes.map(({ name }) => name)).toEqual(['900a'])
  expect(map.problems.map(({ where }) => where)).toEqual([1, 2, 3, 4].map((at) => `region 900, node ${at}`))
  expect(map.problems.map(problemText).join()).toMatch(
    /hostname: is empty.*derpport: .*name: has unprintable characters/,
  )
})

test.each(['', '[]', '{}', 'null', '{"Regions": []}', 'just words', '{"Regions": {'])(
  'returns a fault for %j',
  (text) => {
    expect(readDerpMap(text)).toHaveProperty('fault')
  },
)

test('throws for no text', () => {
  const json = fc.json({ maxDepth: 12 })
  const nested = fc
    .integer({ min: 1, max: 20_000 })
    .map((depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`)
  fc.assert(fc.property(fc.oneof(fc.string(), json, nested), (text) => void readDerpMap(text)))
  fc.assert(
    fc.property(fc.jsonValue(), (value) => void readDerpMap(JSON.stringify({ Regions: { 1: value } }))),
  )
})

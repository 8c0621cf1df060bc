import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { readDerpMap } from '#fleet/derp-map-reader.ts'
import { derpMapText, MapFormat } from '#fleet/derp-map-writer.ts'
import type { Node } from '#fleet/node.ts'
import type { Region } from '#fleet/region.ts'

const word = fc.stringMatching(/^[a-z][a-z0-9.-]{0,20}$/)
const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined })
const flag = fc.constantFrom(true, undefined)
const text = fc.option(word, { nil: undefined })

const node: fc.Arbitrary<Node> = fc.record({
  name: word,
  hostname: word,
  certName: text,
  ipv4: text,
  ipv6: text,
  stunPort: port,
  derpPort: port,
  canPort80: flag,
  isStunOnly: flag,
  isInsecureForTests: flag,
  stunTestIp: text,
})

const regions: fc.Arbitrary<Region[]> = fc
  .uniqueArray(
    fc.record({
      id: fc.integer({ min: 1, max: 65_535 }),
      code: word,
      name: word,
      latitude: fc.option(fc.integer({ min: -90, max: 90 }), { nil: undefined }),
      longitude: fc.option(fc.integer({ min: -180, max: 180 }), { nil: undefined }),
      state: fc.constantFrom(undefined, 'draining' as const),
      nodes: fc.array(node, { minLength: 1, maxLength: 3 }),
    }),
    { selector: ({ id }) => id, maxLength: 4 },
  )
  .map((all) => all.sort((a, b) => a.id - b.id).map(withUniqueNames))

function withUniqueNames(region: Region): Region {
  const nodes = region.nodes.map((one, at) => Object.assign({}, one, { name: `${region.id}-${at}` }))
  return { ...region, nodes }
}

test.each(Object.values(MapFormat))('the reader restores what the writer writes for %s', (format) => {
  fc.assert(
    fc.property(regions, (written) => {
      expect(readDerpMap(derpMapText(format, written))).toMatchObject({ regions: written, problems: [] })
    }),
  )
})

const ONE: Region = {
  id: 900,
  code: 'fra',
  name: 'Frankfurt',
  latitude: 0,
  nodes: [
    { name: '900a', hostname: 'a.example', stunPort: -1, canPort80: false, meshHost: '10.0.0.1' },
    { name: '900b', hostname: 'b.example', derpPort: 443, isStunOnly: true, ipv6: 'none' },
  ],
}

test("writes Go's names, without zero values and without the mesh host", () => {
  expect(JSON.parse(derpMapText('json', [ONE]))).toEqual({
    HomeParams: { RegionScore: { 900: 1 } },
    Regions: {
      900: {
        RegionID: 900,
        RegionCode: 'fra',
        RegionName: 'Frankfurt',
        Latitude: 0,
        Nodes: [
          { Name: '900a', RegionID: 900, HostName: 'a.example', STUNPort: -1 },
          {
            Name: '900b',
            RegionID: 900,
            HostName: 'b.example',
            IPv6: 'none',
            STUNOnly: true,
            DERPPort: 443,
          },
        ],
      },
    },
  })
})

test('writes Headscale lower-case names and a number as key', () => {
  const yaml = derpMapText('headscale', [ONE])
  expect(yaml).toMatch(/^regions:\n {2}900:\n/)
  expect(parse(yaml).regions['900'].nodes[0]).toEqual({
    name: '900a',
    regionid: 900,
    hostname: 'a.example',
    stunport: -1,
  })
})

const SCORED: readonly Region[] = [
  { ...ONE, preferWithinMs: 20, latitude: 50.123456789, state: 'draining' },
  { id: 1000, code: 'x', name: '"é"', latitude: -0.00001, nodes: [{ name: '1000a', hostname: 'c.example' }] },
]

test('writes canonical JSON: sorted names, no white space, short decimals', () => {
  expect(derpMapText('json', SCORED)).toBe(
    '{"HomeParams":{"RegionScore":{"1000":1,"900":0.4}},"Regions":{' +
      '"1000":{"Latitude":0,"Nodes":[{"HostName":"c.example","Name":"1000a","RegionID":1000}],' +
      '"RegionCode":"x","RegionID":1000,"RegionName":"\\"é\\""},' +
      '"900":{"Latitude":50.1235,"NoMeasureNoHome":true,"Nodes":[' +
      '{"HostName":"a.example","Name":"900a","RegionID":900,"STUNPort":-1},' +
      '{"DERPPort":443,"HostName":"b.example","IPv6":"none","Name":"900b","RegionID":900,"STUNOnly":true}],' +
      '"RegionCode":"fra","RegionID":900,"RegionName":"Frankfurt"}}}',
  )
})

test.each(['headscale', 'policy'] as const)('writes the scores for %s only if there are any', (format) => {
  const written = readDerpMap(derpMapText(format, SCORED))
  expect(written).toMatchObject({
    scores: new Map([
      [900, 0.4],
      [1000, 1],
    ]),
  })
  expect(derpMapText(format, [ONE])).not.toMatch(/score/i)
})

test('quotes all texts in YAML, so that no reader takes one for a truth value, a number or a comment', () => {
  const texts = ['no', 'off', '1e3', '0x10', 'a: b # c', '~', `${'long '.repeat(40)}"\\end`]
  const all = texts.map((name, at): Region => ({ ...ONE, id: 900 + at, code: 'no', name }))
  const yaml = derpMapText('headscale', all)
  for (const name of texts)
    expect(yaml).toContain(`    regioncode: "no"\n    regionname: ${JSON.stringify(name)}\n`)
})

test.each([
  [1.00005, 1.0001],
  [-1.00005, -1],
  [1.000049999999, 1],
  [-0.00004, 0],
  [5e-7, 0],
  [179.99999, 180],
])('rounds %d degrees as their digits say: %d', (latitude, short) => {
  expect(JSON.parse(derpMapText('json', [{ ...ONE, latitude }])).Regions['900'].Latitude).toBe(short)
})

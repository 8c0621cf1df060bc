import { expect, it } from 'vitest'
import { problemText } from '#fleet/problem.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'

const GOOD = `
regions:
  900:
    code: fra
    name: Frankfurt
    nodes:
      - name: 900a
        hostname: derp1.fra.example.com
        ipv4: 192.0.2.1
        ipv6: none
      - { name: 900b, hostname: derp2.fra.example.com, derpport: 8443, mesh: 10.0.0.2 }
  901:
    code: nyc
    latitude: 40.7
    longitude: -74
    nodes:
      - name: 901a
        hostname: 198.51.100.7
        stunport: -1
        certname: sha256-raw:${'ab'.repeat(32)}
`

it('reads regions and what siblings need of their relays', () => {
  const node = { port: 443, meshHost: undefined, certName: undefined }
  expect(readRegionsFile('regions.yaml', GOOD)).toEqual({
    regions: [
      {
        id: 900,
        code: 'fra',
        name: 'Frankfurt',
        nodes: [
          { ...node, name: '900a', hostname: 'derp1.fra.example.com', ipv4: '192.0.2.1', ipv6: 'none' },
          { ...node, name: '900b', hostname: 'derp2.fra.example.com', port: 8_443, meshHost: '10.0.0.2' },
        ],
      },
      {
        id: 901,
        code: 'nyc',
        name: 'nyc',
        latitude: 40.7,
        longitude: -74,
        nodes: [
          {
            ...node,
            name: '901a',
            hostname: '198.51.100.7',
            stunPort: -1,
            certName: `sha256-raw:${'ab'.repeat(32)}`,
          },
        ],
      },
    ],
  })
})

it.each([
  ['a word that is not known', ['derpport', 'port'], 'r.yaml:11: regions.900.nodes[1].port: unknown key'],
  [
    'a name twice',
    ['901a', '900a'],
    'r.yaml:17: regions.901.nodes[0].name: name "900a" is already used in region 900; expected a unique name',
  ],
  [
    'a region without a number',
    ['901:', 'nyc:'],
    'r.yaml:13: regions.nyc: invalid region number "nyc"; expected 1 to 65535',
  ],
  [
    'a port that is none',
    ['8443', '84430'],
    'r.yaml:11: regions.900.nodes[1].derpport: invalid value 84430; expected a port, 1 to 65535',
  ],
  [
    'an address that is none',
    ['192.0.2.1', '192.0.2'],
    'r.yaml:9: regions.900.nodes[0].ipv4: invalid value "192.0.2"; expected an IPv4 address, or none',
  ],
  [
    'a relay without a host name',
    ['        hostname: 198.51.100.7\n', ''],
    'r.yaml:17: regions.901.nodes[0].hostname: is missing; expected a host name or an IP address',
  ],
])('refuses %s, and says where and what was expected', (_what, [was = '', is = ''], expected) => {
  const read = readRegionsFile('r.yaml', GOOD.replace(was, is))
  expect('problems' in read ? read.problems.map(problemText) : []).toEqual([
    expect.stringContaining(expected),
  ])
})

it.each([
  ['no YAML', 'regions: [', /r\.yaml:1: /],
  ['nothing', '', /r\.yaml:1: /],
  ['something else', 'hello', /r\.yaml:1: /],
  [
    'many of one by an alias',
    'regions:\n  900: &a {code: x, nodes: [{name: a, hostname: b}]}\n  901: *a\n',
    /alias/i,
  ],
  ['no region at all', 'regions: {}', /regions: is empty; expected at least one region/],
  ['a list without end', '['.repeat(200_000), /./],
  [
    'what is nested without end',
    Array.from({ length: 20_000 }, (_, i) => `${' '.repeat(i % 1_000)}a:`).join('\n'),
    /./,
  ],
  [
    'aliases that grow',
    `a: &a [x,x]\n${'bcdefgh'
      .split('')
      .map((name, i) => `${name}: &${name} [*${'abcdefg'[i]},*${'abcdefg'[i]}]`)
      .join('\n')}`,
    /alias/i,
  ],
  ['far too much', ' '.repeat(5_000_000), /has 5000000 characters/],
])('refuses %s', (_what, text, expected) => {
  const read = readRegionsFile('r.yaml', text)
  expect(
    'problems' in read ? problemText(read.problems[0] ?? { where: '', found: '', expected: '' }) : '',
  ).toMatch(expected)
})

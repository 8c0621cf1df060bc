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

it('reads regions and their nodes', () => {
  expect(readRegionsFile('regions.yaml', GOOD)).toEqual({
    regions: [
      {
        id: 900,
        code: 'fra',
        name: 'Frankfurt',
        nodes: [
          { name: '900a', hostname: 'derp1.fra.example.com', ipv4: '192.0.2.1', ipv6: 'none' },
          { name: '900b', hostname: 'derp2.fra.example.com', derpPort: 8_443, meshHost: '10.0.0.2' },
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
  ['an unknown key', ['derpport', 'port'], 'r.yaml:11: regions.900.nodes[1].port: unknown key'],
  [
    'a name that is used twice',
    ['901a', '900a'],
    'r.yaml:17: regions.901.nodes[0].name: name "900a" is already used in region 900; expected a unique name',
  ],
  [
    'a region without a number',
    ['901:', 'nyc:'],
    'r.yaml:13: regions.nyc: invalid region number "nyc"; expected 1 to 65535',
  ],
  [
    'an invalid port',
    ['8443', '84430'],
    'r.yaml:11: regions.900.nodes[1].derpport: invalid value 84430; expected a port, 1 to 65535',
  ],
  [
    'an invalid address',
    ['192.0.2.1', '192.0.2'],
    'r.yaml:9: regions.900.nodes[0].ipv4: invalid value "192.0.2"; expected an IPv4 address, or none',
  ],
  [
    'a relay without a host name',
    ['        hostname: 198.51.100.7\n', ''],
    'r.yaml:17: regions.901.nodes[0].hostname: is missing; expected a host name or an IP address',
  ],
])('refuses %s with its line and what was expected', (_what, [was = '', is = ''], expected) => {
  const read = readRegionsFile('r.yaml', GOOD.replace(was, is))
  expect('problems' in read ? read.problems.map(problemText) : []).toEqual([
    expect.stringContaining(expected),
  ])
})

it.each([
  ['text that is no YAML', 'regions: [', /r\.yaml:1: /],
  ['an empty file', '', /r\.yaml:1: /],
  ['a word', 'hello', /r\.yaml:1: /],
  [
    'a region by a YAML alias',
    'regions:\n  900: &a {code: x, nodes: [{name: a, hostname: b}]}\n  901: *a\n',
    /alias/i,
  ],
  ['a file without regions', 'regions: {}', /regions: is empty; expected at least one region/],
  ['a list nested without end', '['.repeat(200_000), /./],
  [
    'mappings nested without end',
    Array.from({ length: 20_000 }, (_, i) => `${' '.repeat(i % 1_000)}a:`).join('\n'),
    /./,
  ],
  [
    'aliases that multiply',
    `a: &a [x,x]\n${'bcdefgh'
      .split('')
      .map((name, i) => `${name}: &${name} [*${'abcdefg'[i]},*${'abcdefg'[i]}]`)
      .join('\n')}`,
    /alias/i,
  ],
  ['a file that is too large', ' '.repeat(5_000_000), /has 5000000 characters/],
])('refuses %s', (_what, text, expected) => {
  const read = readRegionsFile('r.yaml', text)
  expect(
    'problems' in read ? problemText(read.problems[0] ?? { where: '', found: '', expected: '' }) : '',
  ).toMatch(expected)
})

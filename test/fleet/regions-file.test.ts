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
    warnings: [],
  })
})

it('takes a default that is written out for one that is left out', () => {
  const bare = readRegionsFile('regions.yaml', GOOD)
  const written = GOOD.replace('code: fra', 'code: fra\n    state: active').replace(
    'ipv6: none',
    'ipv6: none\n        derpport: 443\n        stunport: 0\n        canport80: false\n        standby: false',
  )
  expect(readRegionsFile('regions.yaml', written)).toStrictEqual(bare)
})

it.each([
  ['an unknown key', ['derpport', 'port'], 'r.yaml:11:56: regions.900.nodes[1].port: unknown key'],
  [
    'a name that is used twice',
    ['901a', '900a'],
    'r.yaml:17:15: regions.901.nodes[0].name: name "900a" is already used in region 900; expected a unique name',
  ],
  [
    'a region without a number',
    ['901:', 'nyc:'],
    'r.yaml:12:3: regions.nyc: invalid region number "nyc"; expected 1 to 65535',
  ],
  [
    'an invalid port',
    ['8443', '84430'],
    'r.yaml:11:66: regions.900.nodes[1].derpport: invalid value 84430; expected a port, 1 to 65535',
  ],
  [
    'an invalid address',
    ['192.0.2.1', '192.0.2'],
    'r.yaml:9:15: regions.900.nodes[0].ipv4: invalid value "192.0.2"; expected an IPv4 address, or none',
  ],
  [
    'a relay without a host name',
    ['        hostname: 198.51.100.7\n', ''],
    'r.yaml:17:9: regions.901.nodes[0].hostname: is missing; expected a host name or an IP address',
  ],
])('refuses %s with its line and column and what was expected', (_what, [was = '', is = ''], expected) => {
  const read = readRegionsFile('r.yaml', GOOD.replace(was, is))
  expect('problems' in read ? read.problems.map(problemText) : []).toEqual([
    expect.stringContaining(expected),
  ])
})

it.each([
  ['text that is no YAML', 'regions: [', /r\.yaml:1:\d+:? /],
  ['an empty file', '', /r\.yaml:1:\d+:? /],
  ['a word', 'hello', /r\.yaml:1:\d+:? /],
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

const MANY = `regions:
  900:
    code: fra
    preferWithinMs: 2.5
    state: down
    code: dup
    nodes:
      - { name: 900a, hostname: "a b", certname: x, pin: zz }
      - name:
        hostname: b
        port: 4
  nyc: { code: x, nodes: [] }
  20: { code: dup, nodes: [{ name: 900a, hostname: c }, 7] }
  902: word
`

it('reports every problem and every warning at once, in the order of the file', () => {
  const read = readRegionsFile('r.yaml', MANY)
  expect('problems' in read ? read.problems.map(problemText) : []).toEqual([
    'r.yaml:4:21: regions.900.preferWithinMs: invalid value 2.5; expected whole milliseconds, 0 to 1000',
    'r.yaml:5:12: regions.900.state: invalid value "down"; expected active, draining or off',
    'r.yaml:6:5: Map keys must be unique',
    'r.yaml:8:17: regions.900.nodes[0].name: name "900a" is already used in region 20; expected a unique name',
    'r.yaml:8:33: regions.900.nodes[0].hostname: invalid value "a b"; expected a host name or an IP address',
    'r.yaml:8:58: regions.900.nodes[0].pin: invalid value "zz"; expected the SHA-256 digest of the relay\'s certificate, 64 hex digits',
    'r.yaml:8:58: regions.900.nodes[0].pin: conflicts with certname; expected one of the two',
    'r.yaml:9:14: regions.900.nodes[1].name: invalid value null; expected a name that is unique in the fleet, of letters, digits, dots and hyphens',
    'r.yaml:11:9: regions.900.nodes[1].port: unknown key; expected one of the keys in docs/fleet.md',
    'r.yaml:12:3: regions.nyc: invalid region number "nyc"; expected 1 to 65535',
    'r.yaml:12:26: regions.nyc.nodes: invalid value; expected a list of at least one relay',
    'r.yaml:13:57: regions.20.nodes[1]: invalid value 7; expected the fields of a relay',
    'r.yaml:14:3: regions.902: invalid value "word"; expected the fields of a region',
  ])
  expect(read.warnings.map(problemText)).toEqual([
    'r.yaml:3:11: regions.900.code: code "dup" is also that of region 20; expected its own',
    "r.yaml:13:3: regions.20: Tailscale's policy file refuses this region number; expected 900 to 999",
  ])
})

it.each([
  [
    'all regions off',
    'state: off',
    'r.yaml:2:3: regions: all regions are off; expected at least one that is active or draining',
  ],
  [
    'two numbers for one region',
    '"0900": { code: x, nodes: [{ name: x, hostname: x }] }',
    'is region 900, like "900"; expected each region once',
  ],
  ['a name of two lines for YAML', 'name: "a\\u2028b"', 'expected a text of 1 to 100 printable characters'],
  ['a name that YAML 1.1 refuses', 'name: "a\\uffffb"', 'expected a text of 1 to 100 printable characters'],
  ['a name with half a character', 'name: "\\ud800"', 'expected a text of 1 to 100 printable characters'],
])('refuses %s', (_what, change, expected) => {
  const line = change.startsWith('"') ? `  ${change}` : `    ${change}`
  const text = `regions:\n  900:\n    code: fra\n    nodes: [{ name: a, hostname: a }]\n${line}\n`
  const read = readRegionsFile('r.yaml', text)
  expect('problems' in read ? read.problems.map(problemText).join('\n') : '').toContain(expected)
})

it('reads states, preferences, pins in any spelling, and standbys', () => {
  const pins = ['AB'.repeat(32), `sha256-raw:${'ab'.repeat(32)}`, Array(32).fill('AB').join(':')]
  const nodes = pins.map((pin, at) => `{ name: n${at}, hostname: h, pin: "${pin}", standby: ${at === 2} }`)
  const text = `regions:\n  900: { code: a, state: draining, preferWithinMs: 0, nodes: [${nodes.join(', ')}] }\n  901: { code: b, state: active, nodes: [{ name: x, hostname: h }] }\n`
  const read = readRegionsFile('r.yaml', text)
  const [first, second] = 'regions' in read ? read.regions : []
  expect([first?.state, first?.preferWithinMs, second?.state]).toEqual(['draining', 0, undefined])
  expect(new Set(first?.nodes.map(({ certName }) => certName))).toEqual(
    new Set([`sha256-raw:${'ab'.repeat(32)}`]),
  )
  expect(first?.nodes.map(({ isStandby }) => isStandby)).toEqual([undefined, undefined, true])
})

it('warns of a relay that is twice in a region, and not of several relays at one name', () => {
  const text = (second: string, third = ''): string =>
    `regions:\n  900:\n    code: a\n    nodes:\n      - { name: a, hostname: Relay.example }\n      - ${second}\n${third}`
  const warningsOf = (file: string): readonly string[] =>
    readRegionsFile('r.yaml', file).warnings.map(problemText)
  expect(warningsOf(text('{ name: b, hostname: relay.example, derpport: 443, stunport: -1 }'))).toEqual([
    'r.yaml:6:9: regions.900.nodes[1]: is the same relay as node a: relay.example, port 443; expected each relay once in a region',
  ])
  expect(warningsOf(text('{ name: b, hostname: relay.example, derpport: 8443 }'))).toEqual([])
  expect(warningsOf(text('{ name: b, hostname: relay.example, ipv4: 192.0.2.1 }'))).toEqual([])
  const standby = '  901:\n    code: b\n    nodes: [{ name: s, hostname: relay.example, standby: true }]\n'
  expect(warningsOf(text('{ name: b, hostname: other.example }', standby))).toEqual([])
})

it('warns of a fleet in which no region is active', () => {
  const read = readRegionsFile('r.yaml', GOOD.replaceAll(/code: (\w+)/g, 'code: $1\n    state: draining'))
  expect(read.warnings.map(problemText)).toEqual([
    'r.yaml:3:3: regions: no region is active, so clients find no new home; expected at least one active region',
  ])
})

it('composes names, so that a name is the same bytes however it was typed', () => {
  const text = 'regions: { 900: { code: a, name: "Zu\\u0308rich", nodes: [{ name: a, hostname: h }] } }'
  expect(readRegionsFile('r.yaml', text)).toMatchObject({ regions: [{ name: 'Z\u00FCrich' }] })
})

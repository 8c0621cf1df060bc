import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { certificatePin } from '#protocol/self-signed.ts'
import { goodPair, writePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { derpfleet } from './program.ts'

async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await derpfleet(['map', ...args])
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}

/** An invalid command line has an exit code of its own; other problems end with 1. */
function codeFor(problem: string): number {
  return /invalid value|unknown flag/.test(problem) ? 2 : 1
}

async function node(...args: string[]): Promise<unknown> {
  return JSON.parse(await printed('-format', 'json', ...args)).Regions['900'].Nodes[0]
}

const FULL = (
  '-hostname derp1.example.com -region-id 901 -region-code fra -region-name Frankfurt ' +
  '-ipv4 192.0.2.7 -ipv6 2001:db8::7'
).split(' ')

test('prints a region for a DERP map, without fields that are zero', async () => {
  expect(JSON.parse(await printed('-format', 'json', ...FULL))).toEqual({
    HomeParams: { RegionScore: { 901: 1 } },
    Regions: {
      901: {
        RegionID: 901,
        RegionCode: 'fra',
        RegionName: 'Frankfurt',
        Nodes: [
          {
            Name: '901a',
            RegionID: 901,
            HostName: 'derp1.example.com',
            IPv4: '192.0.2.7',
            IPv6: '2001:db8::7',
            STUNPort: 3478,
            DERPPort: 443,
            CanPort80: true,
          },
        ],
      },
    },
  })
})

test('prints the same for Headscale, in lower case and with a number as key', async () => {
  const text = await printed('-format', 'headscale', ...FULL)
  expect(text).toMatch(/^regions:\n {2}901:\n/)
  expect(parse(text)).toEqual({
    regions: {
      901: {
        regionid: 901,
        regioncode: 'fra',
        regionname: 'Frankfurt',
        nodes: [
          {
            name: '901a',
            regionid: 901,
            hostname: 'derp1.example.com',
            ipv4: '192.0.2.7',
            ipv6: '2001:db8::7',
            stunport: 3478,
            derpport: 443,
            canport80: true,
          },
        ],
      },
    },
  })
})

test('prints an entry for the policy file, and all three formats with headings', async () => {
  const policy = await printed('-format', 'policy', ...FULL)
  const map = JSON.parse(await printed('-format', 'json', ...FULL))
  expect(JSON.parse(`{${policy}}`)).toEqual({ derpMap: { Regions: map.Regions } })
  const all = await printed(...FULL)
  expect(all.match(/^# .*/gm)).toEqual([
    '# Headscale: save as derp.yaml and list it in config.yaml under derp.paths',
    '# Tailscale: add to the policy file',
    '# Complete DERP map',
  ])
  expect(all).toContain(policy)
})

test.each([
  [['-a', ':8443', '-stun=false', '-http-port', '8080'], { DERPPort: 8443, STUNPort: -1 }],
  [['-a', '127.0.0.1:443', '-stun-port', '3479'], { IPv4: '127.0.0.1', STUNPort: 3479, CanPort80: true }],
  [['-a', '127.0.0.1:443', '-can-port-80=false'], { IPv4: '127.0.0.1' }],
  [['-a', ':8443', '-derp-port', '443'], { DERPPort: 443 }],
])('derives the node from the options of serve: %j', async (args, expected) => {
  const { stdout } = await derpfleet(['map', '-format', 'json', '-hostname', 'a.example', ...args])
  const base = { Name: '900a', RegionID: 900, HostName: 'a.example', STUNPort: 3478, DERPPort: 443 }
  expect(JSON.parse(stdout).Regions['900'].Nodes).toEqual([{ ...base, ...expected }])
})

test('reads the options of serve from a file, and pins a self-signed certificate', async () => {
  using folder = new TemporaryFolder()
  const pair = goodPair('192.0.2.7')
  writePair(folder, '192.0.2.7', pair)
  const config = folder.write(
    'derpfleet.yaml',
    `hostname: 192.0.2.7\ncertmode: manual\ncertdir: ${folder.path}\nlisten: ":3443"\n`,
  )
  const pin = certificatePin(new X509Certificate(pair.certificate).raw)
  const expected = { HostName: '192.0.2.7', IPv4: '192.0.2.7', CertName: pin, DERPPort: 3443 }
  expect(await node('-config', config)).toMatchObject(expected)
  expect(await node('-hostname', '192.0.2.7', '-cert', folder.at('192.0.2.7.crt'))).toMatchObject({
    CertName: pin,
  })
})

test('does not pin a certificate that an authority has signed', async () => {
  using folder = new TemporaryFolder()
  const authority = await makeAuthority(folder.path, 'ca')
  const { certPath } = await issueCertificate(folder.path, 'a.example', authority)
  expect(await node('-hostname', 'a.example', '-cert', certPath)).not.toHaveProperty('CertName')
})

test('warns of a relay without TLS, a region number outside the range, and a missing certificate', async () => {
  using folder = new TemporaryFolder()
  const plain = await derpfleet(['map', '-hostname', 'a.example', '-a', ':3340'])
  expect([plain.code, plain.stderr]).toEqual([
    0,
    'warning: with these options the relay speaks plain TCP; clients need TLS in front of it\n',
  ])
  const args = ['-hostname', 'a.example', '-certmode', 'manual', '-certdir', folder.path, '-region-id', '20']
  const early = await derpfleet(['map', ...args])
  expect(early.code).toBe(0)
  expect(early.stderr.split('\n')).toEqual([
    "warning: region 20: Tailscale's policy file accepts only regions 900 to 999",
    `warning: ${folder.at('a.example.crt')} does not exist; to pin a self-signed certificate, name its file by -cert`,
    '',
  ])
})

test.each([
  [[], '-hostname: is not set'],
  [
    ['-hostname', 'a', '-format', 'yaml'],
    '-format: invalid value "yaml"; expected headscale, policy or json',
  ],
  [['-hostname', 'a', '-ipv4', '::1'], '-ipv4: invalid value "::1"; expected an IPv4 address'],
  [
    ['-hostname', 'a', '-region-id', '0'],
    '-region-id: invalid value "0"; expected a whole number from 1 to 65535',
  ],
  [['-hostname', 'a', '-cert', '/none'], '-cert: /none does not exist'],
  [['-hostname', 'a', '-cert', import.meta.filename], 'map.test.ts: contains no readable certificate'],
  [['-hostname', 'a', '-regionid', '9'], '-regionid: unknown flag; did you mean -region-id?'],
])('reports %j as invalid', async (args, problem) => {
  const { code, stdout, stderr } = await derpfleet(['map', ...args])
  expect([code, stdout]).toEqual([codeFor(problem), ''])
  expect(stderr).toContain(problem)
})

const REGIONS = `
regions:
  900:
    code: fra
    name: Frankfurt
    latitude: 50.1
    nodes:
      - { name: 900a, hostname: derp1.fra.example.com, ipv4: 192.0.2.1, ipv6: none, canport80: true }
      - { name: 900b, hostname: derp2.fra.example.com, derpport: 8443, stunport: -1, mesh: 10.0.0.2 }
  901:
    code: nyc
    nodes:
      - { name: 901a, hostname: derp1.nyc.example.com, certname: other.example.com }
      - { name: 900s, hostname: derp1.fra.example.com, ipv4: 192.0.2.1 }
  905: { code: sgp, nodes: [{ name: 905a, hostname: derp1.sgp.example.com }] }
`

const FRANKFURT = {
  RegionID: 900,
  RegionCode: 'fra',
  RegionName: 'Frankfurt',
  Latitude: 50.1,
  Nodes: [
    {
      Name: '900a',
      RegionID: 900,
      HostName: 'derp1.fra.example.com',
      IPv4: '192.0.2.1',
      IPv6: 'none',
      CanPort80: true,
    },
    { Name: '900b', RegionID: 900, HostName: 'derp2.fra.example.com', STUNPort: -1, DERPPort: 8443 },
  ],
}

const NEW_YORK = {
  RegionID: 901,
  RegionCode: 'nyc',
  RegionName: 'nyc',
  Nodes: [
    { Name: '901a', RegionID: 901, HostName: 'derp1.nyc.example.com', CertName: 'other.example.com' },
    { Name: '900s', RegionID: 901, HostName: 'derp1.fra.example.com', IPv4: '192.0.2.1' },
  ],
}

test.each([
  ['a relay of one region', ['-hostname', 'derp1.nyc.example.com'], { 901: NEW_YORK }],
  ['a standby', ['-hostname', 'DERP1.fra.example.com'], { 900: FRANKFURT, 901: NEW_YORK }],
  ['a relay by its name', ['-node', '900b', '-hostname', 'any.example.com'], { 900: FRANKFURT }],
  [
    'a relay that is not in the file, by its region',
    ['-hostname', 'new.example.com', '-region', '901'],
    { 901: NEW_YORK },
  ],
])('with the file of a fleet, prints the regions of %s', async (_case, args, regions) => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', REGIONS)
  expect(JSON.parse(await printed('-format', 'json', '-regions-file', path, ...args)).Regions).toEqual(
    regions,
  )
})

test.each([
  ['-all with the options of one relay', ['-all', '-hostname', 'derp1.nyc.example.com']],
  ['-all without options of a relay', ['--all']],
  ['the file alone', []],
])('%s prints the map of the whole fleet', async (_case, args) => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', REGIONS)
  const map = JSON.parse(await printed('-format', 'json', '-regions-file', path, ...args))
  expect(map.Regions).toMatchObject({ 900: FRANKFURT, 901: NEW_YORK })
  expect(Object.keys(map.Regions)).toEqual(['900', '901', '905'])
  const yaml = parse(await printed('-format', 'headscale', '-regions-file', path, ...args))
  expect(Object.keys(yaml.regions)).toEqual(['900', '901', '905'])
  expect(yaml.regions['901'].nodes[0]).toEqual({
    name: '901a',
    regionid: 901,
    hostname: 'derp1.nyc.example.com',
    certname: 'other.example.com',
  })
})

test.each([
  [['-hostname', 'derp9.example.com'], 'has no relay with the hostname "derp9.example.com"'],
  [['-hostname', 'derp1.nyc.example.com', '-region', '905'], 'in region 901, but -region is 905'],
  [['-hostname', 'derp1.nyc.example.com', '-region', '906'], 'has no region 906 (-region)'],
  [['-hostname', 'derp1.nyc.example.com', '-region-id', '901'], '-region-id: conflicts with -regions-file'],
])('prints nothing if %j contradicts the file', async (args, problem) => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', REGIONS)
  const { code, stdout, stderr } = await derpfleet(['map', '-regions-file', path, ...args])
  expect([code, stdout]).toEqual([codeFor(problem), ''])
  expect(stderr).toContain(problem)
})

test.each([
  [['-all', '-hostname', 'derp1.example.com'], '-all: needs a file of regions; expected -regions-file'],
  [['-all', '-regions-file', '/missing.yaml'], '-regions-file: /missing.yaml does not exist'],
])('prints nothing for %j', async (args, problem) => {
  const { code, stdout, stderr } = await derpfleet(['map', ...args])
  expect([code, stdout]).toEqual([codeFor(problem), ''])
  expect(stderr).toContain(problem)
})

const SELF_SIGNED = 'derp1.nyc.example.com'

test('-all warns of a self-signed certificate that the file does not pin: other relays do not have it', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write(
    'regions.yaml',
    REGIONS.replace('certname: other.example.com', 'canport80: false'),
  )
  const pair = goodPair(SELF_SIGNED)
  writePair(folder, SELF_SIGNED, pair)
  const own = ['-hostname', SELF_SIGNED, '-cert', folder.at(`${SELF_SIGNED}.crt`)]
  const one = await printed('-format', 'json', '-regions-file', path, ...own)
  const pin = certificatePin(new X509Certificate(pair.certificate).raw)
  expect(JSON.parse(one).Regions['901'].Nodes[0].CertName).toBe(pin)
  const all = await derpfleet(['map', '-format', 'json', '-all', '-regions-file', path, ...own])
  expect(all.stdout).toBe(await printed('-format', 'json', '-regions-file', path))
  expect(all.stderr).toContain(`901a without a line in ${path}: pin: ${pin}`)
})

test('check prints every problem with its line and column, and warnings', async () => {
  using folder = new TemporaryFolder()
  const bad = `${REGIONS.replace('stunport: -1', 'stunport: -2').replace('latitude: 50.1', 'preferWithinMs: -1')}  20: { code: nyc, nodes: [{ name: 900a, hostname: x }] }\n`
  const path = folder.write('regions.yaml', bad)
  const { code, stdout, stderr } = await derpfleet(['map', 'check', path])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr.split('\n')).toEqual([
    `warning: ${path}:11:11: regions.901.code: code "nyc" is also that of region 20; expected its own`,
    `warning: ${path}:16:3: regions.20: Tailscale's policy file refuses this region number; expected 900 to 999`,
    'derpfleet map: invalid file of regions, 3 problems:',
    `  ${path}:6:21: regions.900.preferWithinMs: invalid value -1; expected whole milliseconds, 0 to 1000`,
    `  ${path}:8:17: regions.900.nodes[0].name: name "900a" is already used in region 20; expected a unique name`,
    `  ${path}:9:82: regions.900.nodes[1].stunport: invalid value -2; expected a port, or -1 for none`,
    '',
  ])
})

test('check says what a valid file has', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', REGIONS)
  const good = await derpfleet(['map', 'check', path])
  expect([good.code, good.stdout, good.stderr]).toEqual([0, `${path} is valid: 3 regions, 5 nodes\n`, ''])
})

test('diff compares files of regions and maps, and tells which regions clients reconnect to', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', REGIONS)
  const map = folder.write('map.json', await printed('-format', 'json', '-regions-file', path))
  const yaml = folder.write('map.yaml', await printed('-format', 'headscale', '-regions-file', path))
  for (const other of [path, map, yaml]) {
    const same = await derpfleet(['map', 'diff', path, other])
    expect([same.code, same.stdout, same.stderr]).toEqual([0, '', ''])
  }
  const edited = folder.write(
    'new.yaml',
    REGIONS.replace('stunport: -1', 'stunport: 3479')
      .replace('code: nyc', 'code: nyc\n    state: draining')
      .replace('code: sgp', 'code: sgp, preferWithinMs: 20'),
  )
  const diff = await derpfleet(['map', 'diff', map, edited])
  expect([diff.code, diff.stdout.split('\n')]).toEqual([
    1,
    [
      '~ region 900, node 900b: STUNPort -1 -> 3479',
      '~ region 901: NoMeasureNoHome (absent) -> true',
      '~ region 905: score 1 -> 0.4',
      'clients reconnect to: 900, 901',
      '',
    ],
  ])
})

test.each([
  [['check'], 'usage: derpfleet map check FILE'],
  [['diff', 'a'], 'usage: derpfleet map diff A B'],
  [['check', 'a', '-x'], '-x: unknown flag'],
  [['diff', '/missing', '/missing'], '/missing: does not exist'],
])('%j does nothing, with the exit code of an invalid command line', async (args, message) => {
  const { code, stdout, stderr } = await derpfleet(['map', ...args])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain(message)
})

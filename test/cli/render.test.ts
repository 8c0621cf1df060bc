import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet } from './program.ts'

const REGIONS = `
regions:
  900:
    code: fra
    nodes:
      - { name: 900a, hostname: derp1.fra.example.com, ipv4: 192.0.2.1 }
      - { name: 900b, hostname: derp2.fra.example.com, ipv4: 192.0.2.2, mesh: 10.0.0.2 }
  901:
    code: no
    name: Ørsta "Ø"
    nodes:
      - { name: 901a, hostname: derp1.nyc.example.com, ipv6: "2001:db8::1" }
      - { name: 900s, hostname: derp1.fra.example.com, ipv4: 192.0.2.1, standby: true }
`
const SETTINGS = 'verify-client-url: https://c.example/verify\nlog-level: debug\n'

async function rendered(form: string, ...args: string[]): Promise<string> {
  using folder = new TemporaryFolder()
  const regions = folder.write('regions.yaml', REGIONS)
  const settings = form === 'helm' ? [] : ['-settings', folder.write('common.yaml', SETTINGS)]
  const { code, stdout, stderr } = await derpfleet([
    'render',
    form,
    '-regions-file',
    regions,
    ...settings,
    ...args,
  ])
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}

test('systemd: each relay has its files; then DNS records and who connects to whom', async () => {
  const text = await rendered('systemd')
  expect(text.match(/^# ==> .*/gm)).toEqual([
    '# ==> 900a/etc/derpfleet/derpfleet.yaml',
    '# ==> 900a/etc/systemd/system/derpfleet.service.d/fleet.conf',
    '# ==> 900b/etc/derpfleet/derpfleet.yaml',
    '# ==> 900b/etc/systemd/system/derpfleet.service.d/fleet.conf',
    '# ==> 901a/etc/derpfleet/derpfleet.yaml',
    '# ==> 901a/etc/systemd/system/derpfleet.service.d/fleet.conf',
    '# ==> dns.zone',
    '# ==> mesh.txt',
  ])
  expect(text).toContain('verify-client-url: "https://c.example/verify"\n')
  expect(text).toContain('derp1.nyc.example.com. 300 IN AAAA 2001:db8::1\n')
  expect(text).toContain('901a connects to 900b at 10.0.0.2, TCP port 443\n')
})

test('systemd -o writes a folder for each host, with the fleet file as it is', async () => {
  using folder = new TemporaryFolder()
  const out = folder.at('hosts')
  const listed = await rendered('systemd', '-o', out, '-node', '900s')
  const files = [
    'derpfleet/derpfleet.yaml',
    'derpfleet/regions.yaml',
    'systemd/system/derpfleet.service.d/fleet.conf',
  ]
  expect(listed.trimEnd().split('\n')).toEqual([
    ...files.map((name) => `${out}/900a/etc/${name}`),
    `${out}/dns.zone`,
    `${out}/mesh.txt`,
  ])
  expect(readFileSync(`${out}/900a/etc/derpfleet/regions.yaml`, 'utf8')).toBe(REGIONS)
  expect(parse(readFileSync(`${out}/900a/etc/derpfleet/derpfleet.yaml`, 'utf8'))).toMatchObject({
    hostname: 'derp1.fra.example.com',
    'log-level': 'debug',
  })
})

test('ansible-inventory: a relay is in the groups of its regions, with its variables once', async () => {
  const { region_900: frankfurt, region_901: other } = parse(await rendered('ansible-inventory')).all.children
    .derpfleet.children
  expect(Object.keys(frankfurt.hosts)).toEqual(['900a', '900b'])
  expect(other.hosts['900a']).toEqual({})
  expect(frankfurt.hosts['900a']).toMatchObject({
    ansible_host: 'derp1.fra.example.com',
    derpfleet_dns: [{ name: 'derp1.fra.example.com', type: 'A', addresses: ['192.0.2.1'] }],
    derpfleet_siblings: { '900b': { host: '10.0.0.2', port: 443, same_region: true } },
  })
  expect(parse(frankfurt.hosts['900a'].derpfleet_settings)).toMatchObject({ 'log-level': 'debug' })
})

test('helm: the values of a region have the whole fleet, as it was read', async () => {
  const text = await rendered('helm', '-node', '901a')
  const values = parse(text)
  expect(values).toMatchObject({ region: 901, mesh: { existingSecret: 'derpfleet-mesh' } })
  const again = readRegionsFile('r.yaml', JSON.stringify({ regions: values.regions }))
  expect(again).toMatchObject({
    regions: (readRegionsFile('r.yaml', REGIONS) as { regions: unknown }).regions,
  })
  expect((await rendered('helm')).match(/^# ==> .*/gm)).toEqual([
    '# ==> values-900.yaml',
    '# ==> values-901.yaml',
  ])
})

test('terraform: one variable, with the map that `map` prints', async () => {
  using folder = new TemporaryFolder()
  const { fleet } = JSON.parse(await rendered('terraform'))
  expect(Object.keys(fleet)).toEqual(['derp_map', 'headscale', 'policy', 'nodes', 'dns', 'mesh'])
  const path = folder.write('regions.yaml', REGIONS)
  const map = await derpfleet(['map', '-regions-file', path, '-format', 'json', '-all'])
  expect(fleet.derp_map).toBe(map.stdout)
  expect(fleet.nodes['900a']).toMatchObject({ nodes: ['900a', '900s'], regions: [900, 901], ipv6: null })
})

test.each([
  [['systemd'], 2, '-regions-file: is not set'],
  [['sytemd', '-regions-file', 'FILE'], 2, 'unknown form "sytemd"; did you mean systemd?'],
  [['-regions-file', 'FILE'], 2, 'the form is missing; expected systemd, ansible-inventory, helm, terraform'],
  [['helm', '-regions-file', 'FILE', '-settings', 'x'], 2, '-settings: is not for helm'],
  [
    ['systemd', '-regions-file', 'FILE', '-node', '900x'],
    1,
    'has no node "900x"; expected 900a, 900b, 901a, 900s',
  ],
  [['systemd', '-regions-file', '/missing'], 1, '-regions-file: /missing does not exist'],
  [['systemd', '-regions-file', 'FILE', '-settings', '/missing'], 1, '-settings: /missing does not exist'],
  [['systemd', '-regions-file', 'FILE', '-settings', 'BAD'], 1, "BAD:1: hostname: is each relay's own"],
  [['systemd', '-regions-file', 'FILE', '-settings', 'BAD'], 1, 'BAD:2: threads: invalid value "many"'],
  [['systemd', '-regions-file', 'BAD'], 1, 'regions: is missing'],
  [['systemd', '-regions-file', 'FILE', '-o', '/dev/null/x'], 1, '/dev/null/x'],
])('%j prints nothing', async (args, expected, problem) => {
  using folder = new TemporaryFolder()
  const paths = {
    FILE: folder.write('regions.yaml', REGIONS),
    BAD: folder.write('BAD', 'hostname: a.example\nthreads: many\n'),
  }
  const given = args.map((arg) => (arg === 'FILE' || arg === 'BAD' ? paths[arg] : arg))
  const { code, stdout, stderr } = await derpfleet(['render', ...given])
  expect([code, stdout]).toEqual([expected, ''])
  expect(stderr).toContain(problem)
})

test('warns of settings with which no relay starts', async () => {
  using folder = new TemporaryFolder()
  const { code, stderr } = await derpfleet([
    'render',
    'systemd',
    '-regions-file',
    folder.write('r.yaml', REGIONS),
  ])
  expect(code).toBe(0)
  expect(stderr).toContain('warning: the settings say not who may use the relays')
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { readConfigFile } from '#config/config-file.ts'
import { OPTIONS } from '#config/options.ts'
import { fleetPosition } from '#fleet/fleet-position.ts'
import { dnsRecords, fleetRelays } from '#fleet/fleet-relays.ts'
import { positionProblem } from '#fleet/position-check.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { regionsFileContent } from '#fleet/regions-file-writer.ts'
import { relaySettings, settingsText, unitDropIn } from '#fleet/relay-settings.ts'
import { fileContents, readBack } from './fleet-arbitraries.ts'

const FLEET = `
regions:
  900:
    code: fra
    nodes:
      - { name: 900s, hostname: derp1.nyc.example.com, ipv4: 198.51.100.1, standby: true }
      - { name: 900a, hostname: DERP1.fra.example.com, ipv4: 192.0.2.1, ipv6: "2001:db8::1", stunport: -1 }
      - { name: 900b, hostname: derp1.fra.example.com, derpport: 8443, ipv4: 192.0.2.2, mesh: 10.0.0.2 }
  901:
    code: nyc
    nodes: [{ name: 901a, hostname: derp1.nyc.example.com, ipv4: 198.51.100.1, ipv6: none }]
  902:
    code: ip
    state: off
    nodes: [{ name: 902a, hostname: 203.0.113.7, ipv4: 203.0.113.7, stunport: 3479 }]
`

function relaysOf(text: string): ReturnType<typeof fleetRelays> {
  const read = readRegionsFile('regions.yaml', text)
  if ('problems' in read) throw new Error(JSON.stringify(read.problems))
  return fleetRelays(read.regions)
}

test('has each relay once, named by where it stands', () => {
  expect(
    relaysOf(FLEET).map(({ name, nodes, regions, isAlone, isAmbiguous }) => ({
      name,
      nodes,
      regions,
      isAlone,
      isAmbiguous,
    })),
  ).toEqual([
    { name: '901a', nodes: ['901a', '900s'], regions: [901, 900], isAlone: true, isAmbiguous: false },
    { name: '900a', nodes: ['900a'], regions: [900], isAlone: false, isAmbiguous: true },
    { name: '900b', nodes: ['900b'], regions: [900], isAlone: false, isAmbiguous: true },
    { name: '902a', nodes: ['902a'], regions: [902], isAlone: true, isAmbiguous: false },
  ])
})

test('knows how each relay dials the others', () => {
  const [newYork] = relaysOf(FLEET)
  expect(newYork?.siblings).toEqual([
    { name: '900a', host: 'DERP1.fra.example.com', port: 443, isInside: true },
    { name: '900b', host: '10.0.0.2', port: 8443, isInside: true },
    { name: '902a', host: '203.0.113.7', port: 443, isInside: false },
  ])
})

test('has the addresses of each host name, and none for addresses', () => {
  expect(dnsRecords(relaysOf(FLEET))).toEqual([
    { name: 'derp1.fra.example.com', type: 'A', addresses: ['192.0.2.1', '192.0.2.2'] },
    { name: 'derp1.fra.example.com', type: 'AAAA', addresses: ['2001:db8::1'] },
    { name: 'derp1.nyc.example.com', type: 'A', addresses: ['198.51.100.1'] },
  ])
})

test('writes the settings of a relay, and lets those for all relays change where files are', () => {
  const [newYork, frankfurt, , address] = relaysOf(FLEET)
  if (newYork === undefined || frankfurt === undefined || address === undefined) throw new Error('missing')
  const common = {
    'verify-client-url': 'https://c.example/verify',
    'key-file': '/k',
    'bootstrap-dns-names': ['a', 'b'],
  }
  expect(settingsText(newYork, relaySettings(newYork, common)).split('\n')).toEqual([
    "# Settings of the relay 901a, made from the fleet's file. Edit that file, and make this one anew.",
    'bootstrap-dns-names: ["a","b"]',
    'drain-settle: "30s"',
    'hostname: "derp1.nyc.example.com"',
    'key-file: "/k"',
    'listen: ":443"',
    'mesh-psk-file: "/run/credentials/derpfleet.service/mesh.key"',
    'regions-file: "/etc/derpfleet/regions.yaml"',
    'verify-client-url: "https://c.example/verify"',
    '',
  ])
  expect(unitDropIn(newYork)).toContain('LoadCredential=mesh.key:/etc/derpfleet/mesh.key\n')
  expect(relaySettings(frankfurt, {})).toMatchObject({ node: '900a', stun: false })
  expect(relaySettings(address, {})).toMatchObject({ 'stun-port': 3479 })
  expect(settingsText(address, relaySettings(address, {}))).toMatch(/\n# Who may use the relay\?.*\n$/)
})

test('a relay alone in its fleet has no mesh key and no other region to drain to', () => {
  const [only] = relaysOf(
    'regions: { 900: { code: a, nodes: [{ name: a, hostname: h.example, derpport: 8443 }] } }',
  )
  if (only === undefined) throw new Error('missing')
  expect(relaySettings(only, {})).toEqual({
    certmode: 'letsencrypt',
    hostname: 'h.example',
    'key-file': '/var/lib/derpfleet/derper.key',
    listen: ':8443',
    'regions-file': '/etc/derpfleet/regions.yaml',
  })
  expect(unitDropIn(only)).toBeUndefined()
})

test('in any fleet, the settings of each relay are valid and lead it to its own entries and to all others', () => {
  fc.assert(
    fc.property(fileContents, (contents) => {
      const regions = readBack(contents)
      const relays = fleetRelays(regions)
      expect(relays.flatMap(({ nodes }) => nodes).toSorted()).toEqual(
        regions.flatMap(({ nodes }) => nodes.map(({ name }) => name)).toSorted(),
      )
      for (const relay of relays) {
        const text = settingsText(relay, relaySettings(relay, {}))
        const { values, problems } = readConfigFile(OPTIONS, 'derpfleet.yaml', text)
        expect(problems).toEqual([])
        const own = {
          hostname: values.get('hostname')?.text ?? '',
          node: values.get('node')?.text,
          region: undefined,
          hasDirectory: true,
        }
        expect(positionProblem('regions.yaml', regions, own)).toBeUndefined()
        const position = fleetPosition(regions, own)
        expect(position.nodes.toSorted()).toEqual(relay.nodes.toSorted())
        expect(position.siblings).toHaveLength(relays.length - 1)
        const dialled = position.siblings.map(({ host, dialHost, port, isInside }) =>
          [dialHost ?? host, port, isInside].join(' '),
        )
        expect(
          relay.siblings.map(({ host, port, isInside }) => [host, port, isInside].join(' ')).toSorted(),
        ).toEqual(dialled.toSorted())
      }
    }),
  )
})

test('the reader reads back what the writer of the fleet file writes', () => {
  fc.assert(
    fc.property(fileContents, (contents) => {
      const regions = readBack(contents)
      const text = stringify({ regions: regionsFileContent(regions) })
      expect(readRegionsFile('r.yaml', text)).toMatchObject({ regions })
    }),
  )
})

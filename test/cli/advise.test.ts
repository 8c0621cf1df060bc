// `derpfleet advise` against a live relay, to which a sibling has told where its clients are.

import { expect, it } from 'vitest'
import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import { relayStateFrame } from '#protocol/frames.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { readRegionReport } from '#fleet/region-report.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { RawSibling } from '../support/raw-sibling.ts'
import { messageOf } from '../support/relay-states.ts'
import { derpfleet } from './program.ts'

const FILE = `regions:
  900: { code: fra, latitude: 50.1, longitude: 8.7, nodes: [{ name: 900a, hostname: localhost }] }
  901: { code: nyc, latitude: 40.7, longitude: -74, nodes: [{ name: 901a, hostname: nyc.lab }] }
  902: { code: nowhere, nodes: [{ name: 902a, hostname: nowhere.lab }] }
`
const COUNTRIES = [
  { country: 'US', clients: 500, medianMs: 30, homeClients: 480, homeMedianMs: 28 },
  { country: 'BR', clients: 300, medianMs: 135, homeClients: 300, homeMedianMs: 132 },
  { country: 'unknown', clients: 20, medianMs: 1, homeClients: 20, homeMedianMs: 1 },
]

interface AdviceJson {
  readonly hasCountries: boolean
  readonly clients: number
  readonly located: number
  readonly notes: readonly string[]
  readonly places: readonly { readonly name: string; readonly clients: number; readonly thenMs: number }[]
  readonly idle: readonly object[]
}

it('says what follows from the counts of all relays', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', FILE)
  const read = readRegionsFile(path, FILE)
  await using relay = await LiveRelay.start({
    admin: { host: '127.0.0.1', port: 0 },
    meshKeys: [MESH_KEY],
    mesh: { ...NO_MESH, regionsPath: path, regions: 'regions' in read ? read.regions : [], node: '900a' },
  })
  const address = `127.0.0.1:${relay.addresses.admin?.port}`
  const advice = async (...more: readonly string[]): Promise<AdviceJson> =>
    JSON.parse((await derpfleet(['advise', '-addr', address, '-json', ...more])).stdout) as AdviceJson

  const none = await advice()
  expect([none.hasCountries, none.places, none.idle]).toEqual([false, [], []])
  expect(none.notes[0]).toContain('-countries=false')
  const text = await derpfleet(['advise', '-addr', `:${relay.addresses.admin?.port}`])
  expect([text.code, text.stdout]).toEqual([0, expect.stringContaining('there is no advice')])
  expect(text.stdout).not.toMatch(/idle|helps/)

  await using sibling = await RawSibling.open(relay.port, MESH_KEY)
  const told = { key: sibling.key, clients: { isKnown: true, countries: COUNTRIES } }
  await sibling.send(relayStateFrame(messageOf('901a', told)))
  await waitUntil('the countries are known', async () => (await advice()).hasCountries)
  const known = await advice()
  expect([known.clients, known.located]).toEqual([800, 780])
  expect(known.places[0]).toMatchObject({ name: 'São Paulo', clients: 300 })
  expect(known.places[0]?.thenMs).toBeLessThan(45)
  expect(known.notes).toEqual([expect.stringContaining('nowhere (902) has no latitude')])
  const { stdout } = await derpfleet(['advise', '-addr', `${address},127.0.0.1:${await freePort()}`])
  expect(stdout).toMatch(
    /^The next region helps most in São Paulo: 300 clients at a median of 132 ms would be at about \d\d ms\.$/m,
  )
  expect(stdout).toMatch(/^ {2}BR +300 +132 ms -> +\d\d ms {2}now at nyc \(901\)$/m)

  const own = folder.write('places.yaml', '- { name: Recife, latitude: -8.05, longitude: -34.9 }\n')
  expect((await advice('-candidates', own)).places.map(({ name }) => name)).toEqual(['Recife'])
  const near = folder.write('near.json', '[{"name":"Newark","latitude":40.7,"longitude":-74.2}]')
  expect((await advice('-candidates', near)).places).toEqual([])
  expect((await derpfleet(['advise', '-addr', address, '-candidates', near])).stdout).toContain(
    'No place helps',
  )
})

it('names every mistake in a file of places', async () => {
  using folder = new TemporaryFolder()
  const bad = folder.write(
    'bad.yaml',
    '- { name: A, latitude: 91, longitude: 0 }\n- { name: B, latitude: 1, longitude: 2 }\n- 7\n- { name: "C\\e", latitude: 1, longitude: 1 }\n',
  )
  const { code, stdout, stderr } = await derpfleet(['advise', '-candidates', bad])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr.match(/bad\.yaml:\d+:\d+: is no place/g)).toEqual([
    'bad.yaml:1:3: is no place',
    'bad.yaml:3:3: is no place',
    'bad.yaml:4:3: is no place',
  ])
  for (const [name, content] of [
    ['map.yaml', 'places: []'],
    ['empty.yaml', '[]'],
    ['broken.yaml', '- { name: "A'],
    ['alias.yaml', '- &a { name: A, latitude: 1, longitude: 1 }\n- *a\n'],
  ] as const) {
    const answer = await derpfleet(['advise', '-candidates', folder.write(name, content)])
    expect([answer.code, answer.stderr]).toEqual([2, expect.stringContaining(name)])
  }
  expect((await derpfleet(['advise', '-candidates', `${bad}.gone`])).stderr).toContain('does not exist')
})

it('says why there is no answer, and ends with 1', async () => {
  const port = await freePort()
  const { code, stdout, stderr } = await derpfleet(['advise', '-addr', `127.0.0.1:${port}`])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toContain(`127.0.0.1:${port}: `)
  await using relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 } })
  const alone = await derpfleet(['advise', '-addr', `127.0.0.1:${relay.addresses.admin?.port}`])
  expect([alone.code, alone.stderr]).toEqual([
    1,
    expect.stringContaining('expected a relay with -regions-file'),
  ])
})

it('a report from outside is within bounds, whatever it says', () => {
  const region = { id: 900, state: 'active', hasCountries: true }
  const shown = (json: unknown): unknown => readRegionReport(JSON.stringify(json))
  expect(shown([])).toBe('is no JSON object')
  expect(shown({ regions: [{ ...region, id: 0 }, 7, { id: 901 }] })).toBe('has no regions')
  const [read] = readRegionReport(
    JSON.stringify({
      regions: [
        {
          ...region,
          code: '\u001b[2J',
          latitude: 300,
          clients: -1,
          countries: [{ country: 'DE', clients: 1e99 }],
        },
      ],
    }),
  )
  expect(read).toMatchObject({ code: '900', latitude: undefined, clients: 0, countries: [] })
  expect(messageOf('901a').length).toBeLessThan(RELAY_STATE_BYTES_MAX)
})

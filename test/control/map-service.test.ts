// The map of a live relay with a regions file: what it serves is what the command prints from the file.

import { generateKeyPairSync, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { expect, it, vi } from 'vitest'
import { MapService } from '#control/map-service.ts'
import { MapMemory } from '#control/map-memory.ts'
import { NodeState } from '#fleet/node-state.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { Log } from '#ops/log.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'

const { up, down } = NodeState

const FILE = `regions:
  900: { code: fra, preferWithinMs: 20, nodes: [{ name: 900a, hostname: localhost }] }
  901: { code: nyc, nodes: [{ name: 901a, hostname: nyc.lab }] }
`

it('follows the states of the fleet, and tells of it', async () => {
  const read = readRegionsFile('regions.yaml', FILE)
  const regions = 'regions' in read ? read.regions : []
  const states = new Map<string, NodeState>()
  const majority = { isMajority: true }
  const fleet = { seenStateOf: (name: string) => states.get(name) ?? up, majority }
  const events: string[] = []
  const write = (line: string): unknown => events.push((JSON.parse(line) as { event: string }).event)
  const holdDowns = { removalMs: 0, returnMs: 0 }
  const log = new Log('info', { write })
  const changed: boolean[] = []
  const map = new MapService({
    regions: () => regions,
    fleet: () => fleet,
    key: undefined,
    log,
    holdDowns,
    isInCharge: () => true,
    onChange: () => changed.push(map.isStale),
  })
  const inMap = (): readonly string[] =>
    ['900a', '901a'].filter((name) => map.map('json').text.includes(name))
  map.start()
  try {
    const before = map.map('json')
    majority.isMajority = false
    states.set('901a', down)
    await vi.waitFor(() => expect(map.isStale).toBe(true), 10_000)
    expect(map.map('json')).toBe(before)
    majority.isMajority = true
    await vi.waitFor(() => expect(inMap()).toEqual(['900a']), 10_000)
    expect(map.map('json').version).not.toBe(before.version)
    states.set('901a', up)
    await vi.waitFor(() => expect(inMap()).toEqual(['900a', '901a']), 10_000)
    expect(map.map('json')).toEqual(before)
    expect(map.figures).toEqual({
      isStale: false,
      file: regions,
      regions: 2,
      changes: { removals: 1, returns: 1, edits: 0 },
    })
    expect(changed).toEqual([true, false, false])
    expect(events).toEqual(['map_stale', 'map_current', 'map_changed', 'map_changed'])
  } finally {
    map.stop()
  }
})

it('follows the run before until it is in charge, and then goes on from there', async () => {
  using folder = new TemporaryFolder()
  const read = readRegionsFile('regions.yaml', FILE)
  const regions = 'regions' in read ? read.regions : []
  const log = new Log('error', { write: () => undefined })
  const earlier = new MapMemory(folder.path, log)
  let isInCharge = false
  let changes = 0
  const states = new Map<string, NodeState>()
  const fleet = { seenStateOf: (name: string) => states.get(name), majority: { isMajority: true } }
  const map = new MapService({
    regions: () => regions,
    fleet: () => fleet,
    key: undefined,
    log,
    holdDowns: { removalMs: 0, returnMs: 0 },
    memory: new MapMemory(folder.path, log),
    isInCharge: () => isInCharge,
    onChange: () => changes++,
  })
  const hasNyc = (): boolean => map.map('json').text.includes('901a')
  map.start()
  try {
    expect(hasNyc()).toBe(true)
    // The run in charge drops it, whatever this one sees.
    states.set('901a', up)
    earlier.keep(new Map([['901a', down]]))
    await vi.waitFor(() => expect([hasNyc(), changes]).toEqual([false, 1]), 10_000)
    states.delete('901a')
    isInCharge = true
    // It keeps what it serves by itself from now on, also what it has taken over.
    earlier.keep(new Map())
    await vi.waitFor(() => expect(earlier.read()).toEqual(new Map([['901a', down]])), 10_000)
    expect(hasNyc()).toBe(false)
    states.set('901a', up)
    await vi.waitFor(() => expect([hasNyc(), changes]).toEqual([true, 2]), 10_000)
    expect(earlier.read()).toEqual(new Map())
    // The run that takes over goes on from these counts, and is told of them until this one ends.
    const { changes: counted } = map.figures
    expect(counted).toEqual({ removals: 0, returns: 1, edits: 0 })
    isInCharge = false
    earlier.keep(new Map([['901a', down]]))
    await vi.waitFor(() => expect(hasNyc()).toBe(false), 10_000)
    expect(map.figures.changes).toEqual(counted)
  } finally {
    map.stop()
  }
})

it('brings no node back of which it has not heard, however long: with a key directory there may be no link to it', () => {
  using folder = new TemporaryFolder()
  const read = readRegionsFile('regions.yaml', FILE)
  const regions = 'regions' in read ? read.regions : []
  const log = new Log('error', { write: () => undefined })
  new MapMemory(folder.path, log).keep(new Map([['901a', down]]))
  vi.useFakeTimers({ toFake: ['performance', 'Date', 'setInterval', 'clearInterval'] })
  const fleet = {
    seenStateOf: (name: string) => (name === '900a' ? up : undefined),
    majority: { isMajority: true },
  }
  const map = new MapService({
    regions: () => regions,
    fleet: () => fleet,
    key: undefined,
    log,
    holdDowns: { removalMs: 1_000, returnMs: 1_000 },
    memory: new MapMemory(folder.path, log),
    isInCharge: () => true,
    onChange: () => undefined,
  })
  try {
    map.start()
    vi.advanceTimersByTime(600_000)
    expect(map.map('json').text).not.toContain('901a')
  } finally {
    map.stop()
    vi.useRealTimers()
  }
})

it('serves the bytes that `map` prints from the file, and those of an edited file at once', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('regions.yaml', FILE)
  const read = readRegionsFile(path, FILE)
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const mapKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const regions = 'regions' in read ? read.regions : []
  await using relay = await LiveRelay.start({
    admin: { host: '127.0.0.1', port: 0 },
    meshKeys: [MESH_KEY],
    mesh: { ...NO_MESH, regionsPath: path, regions, mapKey },
  })
  const { port } = relay.addresses.admin ?? { port: 0 }
  const at = (page: string): string => `http://127.0.0.1:${port}${page}`
  const forms = { json: '/derpmap.json', headscale: '/derpmap.yaml', policy: '/derpmap.policy' }
  for (const [format, page] of Object.entries(forms)) {
    const printed = await derpfleet(['map', '-format', format, '-regions-file', path])
    const served = await (await fetch(at(page))).text()
    expect(served).toBe(printed.stdout)
    const signature = Buffer.from(await (await fetch(at(`${page}.sig`))).text(), 'base64')
    expect(verify(null, Buffer.from(served), publicKey, signature)).toBe(true)
  }
  const tag = (await fetch(at(forms.json))).headers.get('etag') ?? ''
  writeFileSync(path, FILE.replace('code: nyc', 'code: nyc, state: draining'))
  // The file is looked at every few seconds.
  await vi.waitFor(async () => {
    const edited = await fetch(at(forms.json), { headers: { 'If-None-Match': tag } })
    expect([edited.status, await edited.text()]).toEqual([
      200,
      expect.stringContaining('"NoMeasureNoHome":true'),
    ])
  }, 20_000)
  expect(await relay.page('/metrics')).toContain('derp_map_changes_total{cause="edit"} 1\n')
})

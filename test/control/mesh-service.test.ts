// The mesh's files while the relay serves: what the threads and the log are told of a change, once each.

import { writeFileSync } from 'node:fs'
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { MeshService } from '#control/mesh-service.ts'
import { NodeState } from '#fleet/node-state.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { Log } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'
import { toHex } from '#protocol/bytes.ts'
import type { ToRelayThread } from '#worker/thread-messages.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'

let folder: TemporaryFolder
let service: MeshService
let lines: Record<string, unknown>[]
let told: ToRelayThread[]
let base: LiveRelay['settings']

function regions(...nodes: (readonly [region: number, name: string])[]): string {
  const ids = [...new Set(nodes.map(([id]) => id))]
  const entries = ids.map((id) => {
    const own = nodes
      .filter(([region]) => region === id)
      .map(([, name]) => `{ name: ${name}, hostname: ${name}.lab }`)
    return `  ${id}: { code: r${id}, nodes: [${own.join(', ')}] }\n`
  })
  return `regions:\n${entries.join('')}`
}

const FIRST = regions([900, 'a'], [900, 'b'], [901, 'c'])

beforeAll(async () => {
  await using relay = await LiveRelay.start()
  base = relay.settings
})

beforeEach(async () => {
  folder = new TemporaryFolder()
  lines = []
  told = []
  const path = folder.write('regions.yaml', FIRST)
  const pskPath = folder.write('psk', toHex(MESH_KEY))
  const read = readRegionsFile(path, FIRST)
  const settings = {
    ...base,
    hostname: 'a.lab',
    meshKeyPath: pskPath,
    mesh: { ...NO_MESH, regionsPath: path, regions: 'regions' in read ? read.regions : [] },
  }
  const log = new Log('info', { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) })
  service = new MeshService({
    settings,
    log,
    reloads: new Reloads(log, Date.now),
    broadcast: (message) => told.push(message),
    onSiblings: () => undefined,
    onRenamed: () => undefined,
    run: { isNewest: true },
    stateFolder: undefined,
    fleet: () => ({ seenStateOf: () => NodeState.up, majority: { isMajority: true } }),
  })
  service.start()
  await service.reload()
})

afterEach(() => {
  service.stop()
  folder[Symbol.dispose]()
})

/** The siblings that the threads were told of last. */
function siblings(): string[] {
  const last = told.findLast((message) => message.kind === 'siblings')
  return last?.siblings.map(({ name }) => name) ?? []
}

async function write(text: string): Promise<void> {
  writeFileSync(folder.at('regions.yaml'), text)
  await service.reload()
}

it('logs nothing for files that have not changed since the start', () => {
  expect([lines, siblings()]).toEqual([[], ['b.lab', 'c.lab']])
})

it('knows the relays that need not run, because each of their regions is off', async () => {
  const standby = '  902: { code: r902, nodes: [{ name: s, hostname: d.lab }] }\n'
  await write(
    `${regions([900, 'a'], [901, 'c'], [901, 'd']).replace('code: r901', 'code: r901, state: off')}${standby}`,
  )
  expect(service.relays.map(({ name, isOff }) => [name, isOff])).toEqual([
    ['a.lab', false],
    ['c.lab', true],
    ['d.lab', false],
  ])
})

it('takes a standby for a relay of the region where it is, not of the first that it is for', async () => {
  const standby = '  890: { code: r890, nodes: [{ name: s, hostname: c.lab, standby: true }] }\n'
  await write(`${FIRST}${standby}`)
  expect([service.regionOf('c.lab'), service.regionOf('a.lab')]).toEqual([901, 900])
})

it('names the relays that a file adds, removes and changes', async () => {
  await write(regions([900, 'a'], [901, 'b'], [902, 'd']))
  expect(siblings()).toEqual(['b.lab', 'd.lab'])
  expect(lines).toEqual([
    expect.objectContaining({
      event: 'regions_changed',
      level: 'info',
      regions: 3,
      added: ['d'],
      removed: ['c'],
      changed: ['b'],
    }),
  ])
})

it('names the regions of which something but their relays has changed', async () => {
  await write(FIRST.replace('code: r901', 'code: r901, state: draining'))
  expect(lines).toEqual([
    expect.objectContaining({ added: [], removed: [], changed: [], changedRegions: ['901'] }),
  ])
})

it('warns of a file that is valid but hardly meant', async () => {
  await write(FIRST.replaceAll('code: r', 'state: draining, code: r'))
  expect(lines.map(({ event, level }) => [event, level])).toEqual([
    ['regions_changed', 'info'],
    ['setting_warning', 'warn'],
  ])
  expect(lines[1]?.['message']).toContain('no region is active')
})

it('names twenty of hundreds of added relays, and the number of the others', async () => {
  const many = Array.from({ length: 300 }, (_, i) => [900, `n${i}`] as const)
  await write(regions([900, 'a'], ...many))
  expect(siblings()).toHaveLength(300)
  const names = many.slice(0, 20).map(([, name]) => name)
  expect(lines).toEqual([expect.objectContaining({ added: [...names, 'and 280 more'] })])
})

it.each([
  ['without this relay', regions([900, 'b'], [901, 'c']), /has no relay with the hostname "a.lab"/],
  ['without regions', 'regions: {}', /regions: is empty/],
  ['that is cut in half', FIRST.slice(0, -10), /./],
  ['with other content', '\0\0\0', /./],
])(
  'a regions file %s is rejected once, and the regions before it stay in use',
  async (_what, text, problem) => {
    await write(text)
    await service.reload()
    await service.reload()
    expect(lines.map(({ event, level }) => [event, level])).toEqual([['regions_rejected', 'warn']])
    expect(lines).toEqual([
      expect.objectContaining({ problems: expect.arrayContaining([expect.stringMatching(problem)]) }),
    ])
    expect([siblings(), told.filter(({ kind }) => kind === 'siblings').length]).toEqual([
      ['b.lab', 'c.lab'],
      1,
    ])
    await write(FIRST)
    expect(lines.map(({ event }) => event)).toEqual(['regions_rejected', 'file_usable_again'])
  },
)

it('tells the threads of new mesh keys once, and never of invalid ones', async () => {
  const next = 'ab'.repeat(32)
  for (const text of ['no key', `${toHex(MESH_KEY)}\n${next}\n`, `${toHex(MESH_KEY)}\n\n${next}\n`]) {
    writeFileSync(folder.at('psk'), text)
    await service.reload()
  }
  expect(lines.map(({ event }) => event)).toEqual([
    'mesh_keys_rejected',
    'mesh_keys_changed',
    'file_usable_again',
  ])
  expect(told.filter(({ kind }) => kind === 'meshKeys')).toHaveLength(1)
})

it('reports nothing after it was stopped', async () => {
  const before = told.length
  service.stop()
  await write(regions([900, 'a']))
  expect([lines, told.length]).toEqual([[], before])
})

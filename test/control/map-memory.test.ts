// What the state folder keeps of the map: read as it was written, and of no harm whatever is there.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { MapMemory } from '#control/map-memory.ts'
import { NodeState } from '#fleet/node-state.ts'
import { Log } from '#ops/log.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const AWAY = new Map([
  ['901a', NodeState.down],
  ['900b', NodeState.draining],
])

let folder: TemporaryFolder
let lines: string[]
let memory: MapMemory

beforeEach(() => {
  folder = new TemporaryFolder()
  lines = []
  memory = memoryIn(folder.path)
})

afterEach(() => folder[Symbol.dispose]())

function memoryIn(path: string): MapMemory {
  return new MapMemory(path, new Log('info', { write: (line) => lines.push(line) }))
}

function content(): string {
  return readFileSync(folder.at('map.json'), 'utf8')
}

it('keeps the nodes that are away for the next run, and no file without any', () => {
  expect(memory.read()).toEqual(new Map())
  memory.keep(AWAY)
  expect(memoryIn(folder.path).read()).toEqual(AWAY)
  memory.keep(new Map())
  expect(existsSync(folder.at('map.json'))).toBe(false)
  expect(memory.read()).toEqual(new Map())
})

it.each([
  ['is older than a restart takes', -901_000, 0],
  ['is of a clock that was far ahead', 901_000, 0],
  ['is of a clock that was a little ahead', 60_000, 2],
  ['is as old as a restart of the host', -600_000, 2],
])('what %s counts by its age', (_, keptMs, size) => {
  memory.keep(AWAY)
  const text = content().replace(/"keptMs":\d+/, `"keptMs":${Date.now() + keptMs}`)
  writeFileSync(folder.at('map.json'), text)
  expect(memory.read().size).toBe(size)
})

it('keeps all nodes of the largest fleet', () => {
  const name = (at: number): string => `${'\u{4e16}'.repeat(95)}${10_000 + at}`
  const away = new Map(Array.from({ length: 10_000 }, (_, at) => [name(at), NodeState.draining] as const))
  memory.keep(away)
  expect(memoryIn(folder.path).read()).toEqual(away)
})

it('keeps nothing that it could not read again, and says so', () => {
  memory.keep(AWAY)
  const away = new Map(
    Array.from({ length: 50_000 }, (_, at) => [`${at} ${'x'.repeat(100)}`, NodeState.down] as const),
  )
  memory.keep(away)
  expect(lines.join('')).toContain('more than 4194304 bytes')
  expect(memoryIn(folder.path).read()).toEqual(AWAY)
})

it.each([
  ['nothing', ''],
  ['half a file', '{"format":1,"keptMs":'],
  ['another format', '{"format":2,"keptMs":KEPT,"away":{"901a":"down"}}'],
  ['no map', '[]'],
  ['no time', '{"format":1,"away":{"901a":"down"}}'],
  ['no nodes', '{"format":1,"keptMs":KEPT,"away":7}'],
  ['states that are none', '{"format":1,"keptMs":KEPT,"away":{"901a":"up","900b":"gone","900c":7}}'],
  ['too much', `{"format":1,"keptMs":KEPT,"away":{"901a":"down"},"more":"${'x'.repeat(4_200_000)}"}`],
])('a file with %s says nothing', (_, text) => {
  writeFileSync(folder.at('map.json'), text.replace('KEPT', String(Date.now())))
  expect(memory.read()).toEqual(new Map())
  memory.keep(AWAY)
  expect(memory.read()).toEqual(AWAY)
})

it('a folder that cannot be written to is named once, and again after it could', () => {
  mkdirSync(folder.at('map.json'))
  chmodSync(folder.at('map.json'), 0o700)
  expect(memory.read()).toEqual(new Map())
  memory.keep(AWAY)
  memory.keep(new Map([['901a', NodeState.down]]))
  expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(['map_not_kept'])
})

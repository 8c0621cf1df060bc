// What the state folder keeps of admission: read as it was written, with the time that has passed, and of no harm whatever is there.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { AnswerMemory } from '#admission/answer-memory.ts'
import { AdmissionMemory } from '#control/admission-memory.ts'
import { Log } from '#ops/log.ts'
import { budgetOf } from '#protocol/budget.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { clientA, clientB } from '../vectors/keys.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const KEEP_MS = 86_400_000

let folder: TemporaryFolder
let lines: string[]

beforeEach(() => {
  folder = new TemporaryFolder()
  lines = []
})

afterEach(() => folder[Symbol.dispose]())

interface Opened {
  readonly memory: AnswerMemory
  readonly kept: AdmissionMemory
}

function open(failingSinceMs?: number, backEnds = 'headscale'): Opened {
  const memory = new AnswerMemory(KEEP_MS, () => performance.now())
  const log = new Log('info', { write: (line) => lines.push(line) })
  return {
    memory,
    kept: new AdmissionMemory({
      folder: folder.path,
      memory,
      backEnds: () => backEnds,
      failingSinceMs: () => failingSinceMs,
      log,
    }),
  }
}

async function keep(ageMs: number, failingSinceMs?: number): Promise<void> {
  const { memory, kept } = open(failingSinceMs)
  memory.noteAdmitted(clientA.publicKey, ageMs)
  await kept.stop()
}

function change(from: RegExp, to: string): void {
  const path = folder.at('admission.json')
  writeFileSync(path, readFileSync(path, 'utf8').replace(from, to))
}

it('a later run knows the keys, how long ago they were admitted, and how long no back end has decided', async () => {
  await keep(60_000, performance.now() - 20_000)
  change(/"keptAt":"[^"]*"/, `"keptAt":"${new Date(Date.now() - 5_000).toISOString()}"`)
  const { memory, kept } = open()
  expect((kept.read() ?? 0) / 1_000).toBeCloseTo(25, 0)
  expect((memory.ageMs(clientA.publicKey) ?? 0) / 1_000).toBeCloseTo(65, 0)
  expect(memory.ageMs(clientB.publicKey)).toBe(undefined)
})

it('a clock that was set back makes no key younger than it was', async () => {
  await keep(60_000)
  change(/"keptAt":"[^"]*"/, '"keptAt":"2099-01-01T00:00:00.000Z"')
  const { memory, kept } = open()
  expect(kept.read()).toBe(undefined)
  expect((memory.ageMs(clientA.publicKey) ?? 0) / 1_000).toBeCloseTo(60, 0)
})

it.each([
  ['empty', ''],
  ['cut off', '{"format":1,"startedMs":1,"admitted":{"nodekey:'],
  ['of a later version', '{"format":2,"startedMs":1,"admitted":{}}'],
  ['something else', '[1,2]'],
  ['full of nonsense', '{"format":1,"startedMs":1,"keptAt":5,"admitted":{"x":1,"nodekey:12":-1}}'],
])('a file that is %s is passed over, and replaced', async (_, text) => {
  writeFileSync(folder.at('admission.json'), text)
  const { memory, kept } = open()
  expect(kept.read()).toBe(undefined)
  expect(memory.size).toBe(0)
  await keep(0)
  const later = open()
  later.kept.read()
  expect(later.memory.size).toBe(1)
})

it('what other back ends have said is passed over', async () => {
  await keep(0)
  const { memory, kept } = open(undefined, 'another')
  expect(kept.read()).toBe(undefined)
  expect(memory.size).toBe(0)
})

it('an earlier run does not write over what a later one has written', async () => {
  const earlier = open()
  await keep(0)
  change(/"startedMs":\d+/, `"startedMs":${Date.now() + 60_000}`)
  earlier.memory.noteAdmitted(clientB.publicKey)
  await earlier.kept.stop()
  const { memory, kept } = open()
  kept.read()
  expect(memory.admitted().map(({ key }) => publicKeyText(key))).toEqual([publicKeyText(clientA.publicKey)])
})

it('a folder that takes no file costs one line, and nothing else', async () => {
  mkdirSync(folder.at('admission.json'))
  const { memory, kept } = open()
  expect(kept.read()).toBe(undefined)
  memory.noteAdmitted(clientA.publicKey)
  await kept.stop()
  expect(lines).toEqual([expect.stringMatching(/admission_not_kept/)])
  chmodSync(folder.at('admission.json'), 0o700)
})

it('a later run knows what back ends said that keys may send', async () => {
  const { memory, kept } = open()
  const budgets = [budgetOf(1_250_000, undefined), budgetOf(undefined, 50)]
  memory.noteAdmitted(clientA.publicKey, 0, budgets[0])
  memory.noteAdmitted(clientB.publicKey, 0, budgets[1])
  await kept.stop()
  const later = open()
  later.kept.read()
  expect([clientA, clientB].map(({ publicKey }) => later.memory.budget(publicKey))).toEqual(budgets)
})

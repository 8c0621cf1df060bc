// The same dialogues with derper and with this relay, on one thread and on two: the transcripts are equal, or differ
// as listed and documented. Each scene is a test of its own. A transcript that differs is taken again with more
// patience, since a machine under load may be too slow to say in time what it has to say.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Patience,
  play,
  type Program,
  type RelayUnderTest,
  type Scene,
  startRelayUnderTest,
} from '../support/dialogue.ts'
import { foreigners } from '../support/foreign.ts'
import { type Rewriting, rewritten, withDifferences } from '../support/transcript.ts'
import { differences, rewritings } from './dialogues/differences.ts'
import { httpScenes } from './dialogues/http.ts'
import { loginScenes } from './dialogues/login.ts'
import { meshScenes } from './dialogues/mesh.ts'
import { packetScenes } from './dialogues/packets.ts'
import { tlsScenes } from './dialogues/tls.ts'
import { webSocketScenes } from './dialogues/web-socket.ts'

const scenes = {
  ...tlsScenes,
  ...httpScenes,
  ...webSocketScenes,
  ...loginScenes,
  ...packetScenes,
  ...meshScenes,
}

const usual: Patience = { answerMs: 3_000, quietMs: 40 }
const great: Patience = { answerMs: 10_000, quietMs: 600 }
/** Both rounds of the longest scene, every wait of which is in vain. */
const testTimeoutMs = 240_000

const derpfleet = join(import.meta.dirname, '../../bin/derpfleet')
const derpfleets: readonly Program[] = [1, 2].map((threads) => ({
  name: `derpfleet on ${threads} thread${threads === 1 ? '' : 's'}`,
  command: derpfleet,
  args: ['serve', '-admin', 'off', '-threads', `${threads}`],
}))

/** On two threads chance decides which connections come together: what is wrong may go well once. */
const playsAtOnce = [1, 4]

const versions = ['1.102.5', '1.104.5'] as const
const derpers: Program[] = []
for (const version of versions) {
  const found = await foreigners(`derper-${version}`)
  if ('paths' in found) derpers.push({ name: version, command: found.paths[`derper-${version}`], args: [] })
}

describe.skipIf(derpers.length === 0)('derpfleet speaks as derper does', () => {
  const usedRewritings = new Set<Rewriting>()
  let derper: readonly RelayUnderTest[] = []
  let ours: readonly RelayUnderTest[] = []

  beforeAll(async () => {
    const start = async (programs: readonly Program[]): Promise<readonly RelayUnderTest[]> =>
      await Promise.all(programs.map(startRelayUnderTest))
    ;[derper, ours] = await Promise.all([start(derpers), start(derpfleets)])
  }, testTimeoutMs)

  afterAll(async () => {
    await Promise.all([...derper, ...ours].map(async (relay) => await relay[Symbol.asyncDispose]()))
  }, testTimeoutMs)

  /** What each relay said, and for ours what each derper's transcript makes of it. */
  const compare = async (name: string, scene: Scene, patience: Patience): Promise<Comparison[]> => {
    const take = async (relay: RelayUnderTest): Promise<string[]> => await play(scene, relay, patience)
    const plays = ours.flatMap((relay, at) => Array.from({ length: playsAtOnce[at] ?? 1 }, () => relay))
    const said = await Promise.all([...derper, ...plays].map(take))
    return derper.flatMap(({ name: version }, at) => {
      const lines = said[at] ?? []
      return plays.map((relay, i) => ({
        who: `${relay.name}, compared with derper ${version}`,
        lines: said[derper.length + i] ?? [],
        expected: expectedOf(lines, { scene: name, version }, (one) => usedRewritings.add(one)),
      }))
    })
  }

  test.for(Object.entries(scenes))('%s', { timeout: testTimeoutMs }, async ([name, scene]) => {
    const first = await compare(name, scene, usual)
    const comparisons = first.every(isEqual) ? first : await compare(name, scene, great)
    for (const { who, lines, expected } of comparisons) expect(lines, who).toEqual(expected)
  })

  test('every difference that is listed for all scenes shows in some', () => {
    const present = rewritings.filter(({ version }) => derper.some(({ name }) => name === version))
    expect(present.filter((one) => !usedRewritings.has(one))).toEqual([])
  })
})

test('every listed difference is documented, and listed for a scene that there is', async () => {
  const page = await readFile(join(import.meta.dirname, '../../docs/compatibility.md'), 'utf8')
  for (const { title } of [...differences, ...rewritings]) expect(page).toContain(`**${title}**`)
  for (const { shows } of differences) {
    for (const { scene } of shows) expect(Object.keys(scenes)).toContain(scene)
  }
})

interface Comparison {
  readonly who: string
  readonly lines: readonly string[]
  readonly expected: readonly string[]
}

/** What derper said with the listed differences; what is wrong with the list takes the place of lines. */
function expectedOf(
  lines: readonly string[],
  of: { readonly scene: string; readonly version: string },
  used: (rewriting: Rewriting) => void,
): readonly string[] {
  const ofVersion = rewritings.filter(({ version }) => version === of.version)
  try {
    return rewritten(withDifferences(lines, of, differences), ofVersion, used)
  } catch (error) {
    return [String(error), ...lines]
  }
}

function isEqual({ lines, expected }: Comparison): boolean {
  return lines.length === expected.length && lines.every((line, at) => line === expected[at])
}

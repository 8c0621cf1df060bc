// The same dialogues with derper and with this relay, with one thread and with two: the transcripts are equal except
// for the listed and documented differences. Each dialogue is a test of its own. If a transcript differs, the dialogue
// is repeated twice with longer waits, since relays on a busy machine may respond too late.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type WaitTimes, runDialogue, type Script } from '../support/dialogue.ts'
import { type Program, type RelayUnderTest, startRelayUnderTest } from '../support/relay-under-test.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { type Rewrite, rewritten, withDifferences } from '../support/transcript.ts'
import { differences, rewrites } from './dialogues/differences.ts'
import { httpScripts } from './dialogues/http.ts'
import { loginScripts } from './dialogues/login.ts'
import { meshScripts } from './dialogues/mesh.ts'
import { packetScripts } from './dialogues/packets.ts'
import { tlsScripts } from './dialogues/tls.ts'
import { webSocketScripts } from './dialogues/web-socket.ts'
import { PROGRAM as derpfleet } from '../support/program-path.ts'

const scripts = {
  ...tlsScripts,
  ...httpScripts,
  ...webSocketScripts,
  ...loginScripts,
  ...packetScripts,
  ...meshScripts,
}

const usualTimes: WaitTimes = { responseMs: 3_000, quietMs: 40 }
const longTimes: WaitTimes = { responseMs: 10_000, quietMs: 600 }
/** All attempts of the longest dialogue if every wait times out. */
const testTimeoutMs = 240_000

const derpfleets: readonly Program[] = [1, 2].map((threads) => ({
  name: `derpfleet on ${threads} thread${threads === 1 ? '' : 's'}`,
  command: derpfleet,
  // Siblings may close connections, as at derper.
  args: ['serve', '-admin', 'off', '-threads', `${threads}`, '-kicks-from', 'siblings'],
}))

/** Runs per relay. With two threads chance decides which connections share a thread, so one run may miss a fault. */
const runsPerRelay = [1, 4]

const versions = ['1.102.5', '1.104.5'] as const
const derpers: Program[] = []
for (const version of versions) {
  const found = await foreignPrograms(`derper-${version}`)
  if ('paths' in found) derpers.push({ name: version, command: found.paths[`derper-${version}`], args: [] })
}

describe.skipIf(derpers.length === 0)('dialogues with derper and derpfleet', () => {
  const usedRewrites = new Set<Rewrite>()
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

  /** The transcripts of this relay, each with the one expected from a derper's transcript. */
  const compare = async (name: string, script: Script, times: WaitTimes): Promise<Comparison[]> => {
    const run = async (relay: RelayUnderTest): Promise<string[]> => await runDialogue(script, relay, times)
    const relays = ours.flatMap((relay, at) => Array.from({ length: runsPerRelay[at] ?? 1 }, () => relay))
    const transcripts = await Promise.all([...derper, ...relays].map(run))
    return derper.flatMap(({ name: version }, at) => {
      const lines = transcripts[at] ?? []
      return relays.map((relay, i) => ({
        label: `${relay.name}, compared with derper ${version}`,
        lines: transcripts[derper.length + i] ?? [],
        expected: expectedOf(lines, { dialogue: name, version }, (one) => usedRewrites.add(one)),
      }))
    })
  }

  test.for(Object.entries(scripts))('%s', { timeout: testTimeoutMs }, async ([name, script]) => {
    let comparisons = await compare(name, script, usualTimes)
    for (let left = 2; left > 0 && !comparisons.every(isEqual); left--)
      comparisons = await compare(name, script, longTimes)
    for (const one of comparisons) expect(one.lines, labelOf(one)).toEqual(one.expected)
  })

  test('every rewrite is used in some dialogue', () => {
    const present = rewrites.filter(({ version }) => derper.some(({ name }) => name === version))
    expect(present.filter((one) => !usedRewrites.has(one))).toEqual([])
  })
})

test('every listed difference is documented and names an existing dialogue', async () => {
  const page = await readFile(join(import.meta.dirname, '../../docs/compatibility.md'), 'utf8')
  for (const { title } of [...differences, ...rewrites]) expect(page).toContain(`**${title}**`)
  for (const { occurrences } of differences) {
    for (const { dialogue } of occurrences) expect(Object.keys(scripts)).toContain(dialogue)
  }
})

interface Comparison {
  readonly label: string
  readonly lines: readonly string[]
  readonly expected: readonly string[]
}

/**
 * derper's lines with the listed differences applied. If a listed difference does not occur, the error becomes the
 * first line.
 */
function expectedOf(
  lines: readonly string[],
  of: { readonly dialogue: string; readonly version: string },
  used: (rewrite: Rewrite) => void,
): readonly string[] {
  const ofVersion = rewrites.filter(({ version }) => version === of.version)
  try {
    return rewritten(withDifferences(lines, of, differences), ofVersion, used)
  } catch (error) {
    return [String(error), ...lines]
  }
}

/** Names the first line that differs: a report may show nothing but the message. */
function labelOf({ label, lines, expected }: Comparison): string {
  const at = lines.findIndex((line, i) => line !== expected[i])
  const [line, other] = at < 0 ? [undefined, expected[lines.length]] : [lines[at], expected[at]]
  return `${label}: ${line ?? '(end)'} in place of ${other ?? '(end)'}`
}

function isEqual({ lines, expected }: Comparison): boolean {
  return lines.length === expected.length && lines.every((line, at) => line === expected[at])
}

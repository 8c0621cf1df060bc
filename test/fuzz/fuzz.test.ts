// Ten seconds of fuzzing for every parser that faces the network, and a replay of all findings of longer runs. To
// repeat a run that failed: npm run fuzz -- --parser NAME --seed SEED.

import { expect, test } from 'vitest'
import { tryOnce } from './campaign.ts'
import { fuzz, regressions } from './fuzzer.ts'
import { SUBJECTS, subjectNamed } from './targets.ts'

/** The time of each parser, shared with those in the same thread. */
const FUZZED_MS = 10_000
/** Threads with parsers that compute. */
const THREADS = 4
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() >>> 0)

const computing = SUBJECTS.filter(({ waits }) => waits === undefined).map(({ name }) => name)
const groups = [
  SUBJECTS.filter(({ waits }) => waits).map(({ name }) => name),
  ...Array.from({ length: THREADS }, (_, at) => computing.filter((_name, i) => i % THREADS === at)),
]

test.concurrent.each(groups.map((names) => [names] as const))(
  `keeps its promises for any input, with the seed ${seed}: %s`,
  { timeout: 60_000 },
  async (names) => {
    for (const { name, attempts, finding } of await fuzz({ names, seed, forMs: FUZZED_MS })) {
      expect(
        finding && { ...finding, input: Buffer.from(finding.input).toString('base64') },
        name,
      ).toBeUndefined()
      expect(attempts, name).toBeGreaterThan(3)
    }
  },
)

test.each(regressions().map((found) => [`${found.name}/${found.file}`, found] as const))(
  'keeps its promises for the earlier finding %s',
  async (_path, { name, input, seed }) => {
    const subject = subjectNamed(name)
    await subject.open?.()
    const { problem } = await tryOnce(subject, input, seed)
    await subject.close?.()
    expect(problem).toBeUndefined()
  },
)

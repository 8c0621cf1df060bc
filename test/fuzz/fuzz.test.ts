// Ten seconds of fuzzing for every parser of network input, and all findings of longer runs. To repeat a failing seed:
// npm run fuzz -- --parser NAME --seed SEED.

import { expect, test } from 'vitest'
import { tryOnce } from './campaign.ts'
import { fuzz, regressions } from './fuzzer.ts'
import { TARGETS, targetNamed } from './targets.ts'

/** Time for each parser; those of one thread run side by side. */
const FUZZED_MS = 10_000
/** Threads for the targets that do not wait. */
const THREADS = 4
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() >>> 0)

const computing = TARGETS.filter(({ waits }) => waits === undefined).map(({ name }) => name)
const groups = [
  TARGETS.filter(({ waits }) => waits).map(({ name }) => name),
  ...Array.from({ length: THREADS }, (_, at) => computing.filter((_name, i) => i % THREADS === at)),
]

test.concurrent.each(groups.map((names) => [names] as const))(
  `the invariants hold for any input, seed ${seed}: %s`,
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
  'the finding %s is fixed',
  async (_path, { name, input, seed }) => {
    const target = targetNamed(name)
    await target.open?.()
    const { problem } = await tryOnce(target, input, seed)
    await target.close?.()
    expect(problem).toBeUndefined()
  },
)

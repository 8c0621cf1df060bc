// The command line of the fuzzer.
//
//   npm run fuzz -- [--minutes N] [--parser NAME]... [--seed N] [--keep]
//
// Fuzzes every parser, or those named, for the given minutes each, two at a time. Prints its seed: the same seed and code
// give the same inputs. Prints findings; --keep also writes them to the files that the tests replay.

import { parseArgs } from 'node:util'
import type { Outcome } from './campaign.ts'
import { fuzz, keepFinding } from './fuzzer.ts'
import { TARGETS, targetNamed } from './targets.ts'

/** One core each, on the smallest machines that this runs on. */
const AT_ONCE = 2

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    parser: { type: 'string', multiple: true, default: TARGETS.map(({ name }) => name) },
    seed: { type: 'string', default: `${Date.now() >>> 0}` },
    keep: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed)
const forMs = Number(values.minutes) * 60_000
if (!(forMs > 0) || !Number.isSafeInteger(seed))
  throw new Error('expected --minutes above 0 and a whole --seed')
const waiting = values.parser.map((name) => targetNamed(name).name)

process.stdout.write(`fuzzing ${waiting.length} parsers, ${values.minutes} minutes each, seed ${seed}\n`)

function print({ name, attempts, outcomes, finding }: Outcome): void {
  process.stdout.write(`${name}: ${attempts} inputs, ${outcomes} different outcomes, seed ${seed}\n`)
  if (finding === undefined) return
  process.exitCode = 1
  const where = values.keep ? `\n  kept as ${keepFinding(name, finding)}` : ''
  process.stdout.write(
    `  FOUND: seed of the attempt ${finding.seed}, input in base64 ${Buffer.from(finding.input).toString('base64')}${where}\n` +
      `  ${finding.problem.replaceAll('\n', '\n  ')}\n`,
  )
}

async function fuzzOne(name: string): Promise<void> {
  try {
    for (const outcome of await fuzz({ names: [name], seed, forMs })) print(outcome)
  } catch (error) {
    process.exitCode = 1
    process.stdout.write(`${name}: FOUND, seed ${seed}\n  ${String(error)}\n`)
  }
}

async function fuzzRemaining(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await fuzzOne(name)
}

await Promise.all(Array.from({ length: AT_ONCE }, fuzzRemaining))

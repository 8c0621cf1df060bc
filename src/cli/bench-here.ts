// `derpfleet bench-here`: measures this machine within two minutes with a relay of its own on loopback, and prints what the machine can
// carry as a relay and the settings for that. Takes processor time from whatever else runs here, so it refuses beside a busy relay.

import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { usableCoreCount } from '#config/core-count.ts'
import { readFlags } from '#config/flags.ts'
import { boolean } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { hostFacts } from '#control/host-facts.ts'
import { reasonOf } from '#fleet/problem.ts'
import { capacityOf, capacityText, type Measured } from './capacity.ts'
import { measureLoad, type LoadSize } from './capacity-load.ts'
import { CapacityRelay } from './capacity-relay.ts'
import { runCommandLine, type CommandLine } from './command-line.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { optionLines } from './usage.ts'

const FULL: LoadSize = { clients: 3_000, packetSeconds: 20 }
const QUICK: LoadSize = { clients: 600, packetSeconds: 4 }
/** More work than that on the machine is somebody's, and makes the numbers wrong. */
const BUSY_SHARE_MAX = 0.15
const LOOK_MS = 2_000

const OPTIONS = {
  beside: {
    kind: boolean,
    fallback: 'false',
    about: 'Measure although the machine has other work. That work gets slower, and the numbers are too low',
  },
  quick: {
    kind: boolean,
    fallback: 'false',
    about: 'Measure for half a minute instead of a whole one; the numbers are rough',
  },
  json: { kind: boolean, fallback: 'false', about: 'Print one JSON document instead of text' },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

interface Asked {
  readonly isBeside: boolean
  readonly size: LoadSize
  readonly isJson: boolean
}

export const benchHere: Command = {
  name: 'bench-here',
  summary: 'Measure what this machine can carry as a relay, and print settings for it',
  async run(args, io) {
    const texts = { usage, refusal: 'derpfleet bench-here: nothing measured' }
    return await runCommandLine(readArguments(args), io, texts, run)
  },
}

function readArguments(args: readonly string[]): CommandLine<Asked> {
  const flags = readFlags(OPTIONS, args)
  const problems = [...flags.problems]
  const values = new OptionValues(OPTIONS, flags.values, problems)
  if (values.get('help')) return 'help'
  if (problems.length > 0) return { problems }
  const size = values.get('quick') ? QUICK : FULL
  return { isBeside: values.get('beside'), size, isJson: values.get('json') }
}

async function run({ isBeside, size, isJson }: Asked, io: Io): Promise<number> {
  const refuse = (why: string): number => {
    io.stderr.write(`derpfleet bench-here: nothing measured: ${why}\n`)
    return ExitCode.failed
  }
  if (process.platform !== 'linux') return refuse('only Linux tells what a relay uses')
  const busy = await busyShare()
  if (!isBeside && busy > BUSY_SHARE_MAX) {
    const found = `the machine is busy, with ${Math.round(100 * busy)} % of its processors in use`
    return refuse(`${found}; a relay that serves would get slower. With -beside it is measured all the same`)
  }
  try {
    const load = await measureOwnRelay(size)
    const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity)
    const measured: Measured = { cores: usableCoreCount(), memoryBytes, host: hostFacts(), ...load }
    const capacity = capacityOf(measured)
    const { host: _host, ...numbers } = measured
    io.stdout.write(
      isJson
        ? `${JSON.stringify({ measured: numbers, busyShareBefore: busy, capacity }, null, 2)}\n`
        : capacityText(measured, capacity),
    )
    return ExitCode.done
  } catch (error) {
    return refuse(reasonOf(error))
  }
}

async function measureOwnRelay(size: LoadSize): ReturnType<typeof measureLoad> {
  const relay = await CapacityRelay.start()
  try {
    return await measureLoad(relay, size)
  } finally {
    await relay.end()
  }
}

/** The share of all processors that were in use for a while, by anybody. */
async function busyShare(): Promise<number> {
  const before = processorTimes()
  await sleep(LOOK_MS)
  const after = processorTimes()
  const all = after.all - before.all
  return all <= 0 ? 0 : 1 - (after.idle - before.idle) / all
}

function processorTimes(): { readonly all: number; readonly idle: number } {
  const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? ''
  const times = line.split(' ').slice(0, 8).map(Number)
  // The fourth is idle, the fifth waits for disks.
  return { all: times.reduce((sum, one) => sum + one, 0), idle: (times[3] ?? 0) + (times[4] ?? 0) }
}

function usage(): string {
  return `usage: derpfleet bench-here [-json] [-beside] [-quick]

${optionLines(OPTIONS)}
exit code: 0 measured, 1 not measured, 2 invalid command line
`
}

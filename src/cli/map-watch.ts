// `derpfleet map watch`: follows a DERP map, prints each change, and keeps a file of it for a control server that reads files.
// The file is always a whole and valid map: it is replaced in one step, and whatever goes wrong, the last one stays. Where the
// map comes from is probe/map-follower.ts.

import { createPublicKey, type KeyObject } from 'node:crypto'
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Diagnostics } from '#config/diagnostics.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, durationOf, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { isHeadscaleFile } from '#fleet/derp-map-reader.ts'
import { mapChanges, type ScoredMap } from '#fleet/map-changes.ts'
import { reasonOf } from '#fleet/problem.ts'
import { MapFollower, type FollowedMap, type FollowerOptions } from '#probe/map-follower.ts'
import { mapTargetOf, type MapTarget } from '#probe/target.ts'
import { trustedAuthorities } from '#probe/tls-checks.ts'
import { runCommandLine, type CommandLine } from './command-line.ts'
import { ExitCode, type Io } from './command.ts'
import { authoritiesIn } from './probe-options.ts'
import { terminalText } from './terminal-text.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

export const WATCH_ABOUT = 'Follow a DERP map. Print each change, and keep a file of it for Headscale'

const SOURCE_EXPECTED = 'the path or URL of a DERP map (JSON or YAML)'
const KEY_EXPECTED = 'an Ed25519 public key in PEM, as from "openssl pkey -in map.key -pubout"'
const INTERVAL_MS = { min: 1_000, max: 86_400_000 }
/** A relay answers at once. */
const TIMEOUT_MS = 10_000

const WATCH_OPTIONS = {
  output: {
    kind: text('the path of a file', 'FILE'),
    flag: 'o',
    about:
      'Keep the map in this file, as it comes. The file is replaced in one step, and never by less than a valid map',
  },
  key: {
    kind: text('the path of a file', 'FILE'),
    fallbackNote: 'signatures are not verified',
    about:
      'Accept only maps with a signature of this Ed25519 public key (PEM): in the header Derpfleet-Map-Signature, or in URL.sig or FILE.sig',
  },
  interval: {
    kind: durationOf(INTERVAL_MS.min, INTERVAL_MS.max),
    fallback: '10s',
    about: 'Ask this often',
  },
  once: {
    kind: boolean,
    fallback: 'false',
    about: 'Ask once and exit: with 0 if there is a valid map, and the file has it; else with 1',
  },
  ca: { kind: text('the path of a PEM file', 'FILE'), about: "Trust these authorities besides the system's" },
  insecure: {
    kind: boolean,
    fallback: 'false',
    about: 'Do not verify certificates. With -key, the map is verified nevertheless',
  },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

interface WatchArguments {
  readonly follower: FollowerOptions
  readonly output: string | undefined
  readonly intervalMs: number
  readonly isOnce: boolean
}

/** Runs until the process ends, unless it is to ask once. */
export async function watchMap(args: readonly string[], io: Io): Promise<number> {
  const texts = { usage, refusal: 'derpfleet map watch: nothing watched' }
  return await runCommandLine(readArguments(args), io, texts, watch)
}

async function watch(asked: WatchArguments, io: Io): Promise<number> {
  const map = new MapWatch(asked, io)
  for (;;) {
    const isGood = await map.look()
    if (asked.isOnce) return isGood ? ExitCode.done : ExitCode.failed
    await sleep(asked.intervalMs)
  }
}

class MapWatch {
  readonly #output: string | undefined
  readonly #io: Io
  readonly #follower: MapFollower
  #told: FollowedMap | undefined = undefined
  /** What the file has; undefined: not known. */
  #written: string | undefined = undefined
  #failures: readonly string[] = []

  constructor({ follower, output }: WatchArguments, io: Io) {
    this.#follower = new MapFollower(follower)
    this.#output = output
    this.#io = io
  }

  /** Whether there is a valid map, and the file has it. */
  async look(): Promise<boolean> {
    const { found, failures } = await this.#follower.look()
    if (found === undefined) {
      this.#report([...failures, this.#told === undefined ? 'there is no valid map' : 'the last map stays'])
      return false
    }
    const problem = this.#output === undefined ? undefined : this.#write(this.#output, found.text)
    // What is told of is in the file.
    if (found !== this.#told) this.#tell(found)
    this.#report(problem === undefined ? failures : [...failures, problem])
    return problem === undefined
  }

  #tell(found: FollowedMap): void {
    const before = this.#told
    this.#told = found
    const lines = changeLines(before?.map, found.map)
    if (before !== undefined && lines.length === 0 && before.isStale === found.isStale) return
    const { regions } = found.map
    const nodes = regions.reduce((sum, region) => sum + region.nodes.length, 0)
    const stale = found.isStale ? ', stale: the relay does not see most of its fleet' : ''
    const counts = `${regions.length} regions, ${nodes} nodes${stale}`
    this.#io.stdout.write(`${new Date().toISOString()} ${found.from}: ${counts}\n`)
    for (const line of lines) this.#io.stdout.write(`  ${terminalText(line)}\n`)
  }

  /** Returns why the file does not have the text. */
  #write(path: string, content: string): string | undefined {
    if (content === this.#written) return undefined
    if (/\.ya?ml$/i.test(path) && !isHeadscaleFile(content)) {
      // It would take all regions from the clients.
      return `${path} is not written: Headscale reads no regions in this form of the map; use /derpmap.yaml`
    }
    try {
      const file = readFileText(path)
      if (!('text' in file) || file.text !== content) replaceFile(path, content)
      this.#written = content
      return undefined
    } catch (error) {
      return `${path} is not written: ${reasonOf(error)}`
    }
  }

  /** Each reason once, as long as it lasts. */
  #report(failures: readonly string[]): void {
    const news = failures.filter((failure) => !this.#failures.includes(failure))
    for (const failure of news) this.#io.stderr.write(`derpfleet map watch: ${terminalText(failure)}\n`)
    if (failures.length === 0 && this.#failures.length > 0)
      this.#io.stderr.write('derpfleet map watch: all is well again\n')
    this.#failures = failures
  }
}

function changeLines(before: ScoredMap | undefined, after: ScoredMap): readonly string[] {
  return before === undefined ? [] : mapChanges(before, after).map(({ text: line }) => line)
}

/** Readers see the old content or the new one, also if the machine fails meanwhile. */
function replaceFile(path: string, content: string): void {
  const complete = join(dirname(path), `.${basename(path)}.new`)
  // Of a run that was killed; or a link that somebody has laid there, in a folder where others may.
  rmSync(complete, { force: true })
  const descriptor = openSync(complete, 'wx', 0o644)
  try {
    writeFileSync(descriptor, content)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(complete, path)
}

function readArguments(args: readonly string[]): CommandLine<WatchArguments> {
  const firstFlag = args.findIndex((arg) => /^-./.test(arg))
  const sources = firstFlag < 0 ? args : args.slice(0, firstFlag)
  const flags = readFlags(WATCH_OPTIONS, firstFlag < 0 ? [] : args.slice(firstFlag))
  const diagnostics = new Diagnostics()
  diagnostics.problems.push(...flags.problems)
  const values = new OptionValues(WATCH_OPTIONS, flags.values, diagnostics.problems)
  if (values.get('help')) return 'help'
  if (sources.length === 0) diagnostics.addProblem('map watch', 'no map is named', SOURCE_EXPECTED)
  const access = {
    timeoutMs: TIMEOUT_MS,
    authorities: trustedAuthorities({ authorities: authoritiesIn(values.get('ca'), diagnostics) }),
    isInsecure: values.get('insecure'),
  }
  const targets = sources.flatMap((source) => targetOf(source, diagnostics) ?? [])
  const follower = { targets, access, key: keyIn(values.get('key'), diagnostics) }
  if (diagnostics.problems.length > 0) return { problems: diagnostics.problems }
  const [output, intervalMs] = [values.get('output'), values.get('interval')]
  return { follower, output, intervalMs, isOnce: values.get('once') }
}

function targetOf(source: string, diagnostics: Diagnostics): MapTarget | undefined {
  const target = mapTargetOf(source)
  if (target !== undefined) return target
  return diagnostics.addProblem('map watch', `invalid value ${JSON.stringify(source)}`, SOURCE_EXPECTED)
}

function keyIn(path: string | undefined, diagnostics: Diagnostics): KeyObject | undefined {
  if (path === undefined) return undefined
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem('-key', `${path} ${whyUnread(file)}`, KEY_EXPECTED)
  try {
    const key = createPublicKey(file.text)
    if (key.asymmetricKeyType === 'ed25519') return key
    return diagnostics.addProblem('-key', `${path} has a key of type ${key.asymmetricKeyType}`, KEY_EXPECTED)
  } catch {
    return diagnostics.addProblem('-key', `${path} has no key that can be read`, KEY_EXPECTED)
  }
}

function usage(): string {
  return `usage: derpfleet map watch URL|FILE... [-FLAG VALUE]...

Of several places, the first that has a valid map counts; the others are asked when it has none, or one that is stale.

${optionLines(WATCH_OPTIONS)}
${EXIT_CODES}`
}

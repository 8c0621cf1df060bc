// `derpfleet map check`, `map diff` and `map schema`: about a fleet's file and DERP maps in files, without a relay and its
// options.

import { boolean } from '#config/option-kind.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { readDerpMap } from '#fleet/derp-map-reader.ts'
import { homeScore } from '#fleet/home-score.ts'
import { fileMap } from '#fleet/live-map.ts'
import { mapChanges, type MapChange, type ScoredMap } from '#fleet/map-changes.ts'
import { problemText, type Problem } from '#fleet/problem.ts'
import { readRegionsFile, type RegionsFile } from '#fleet/regions-file.ts'
import { regionsSchemaText } from '#fleet/regions-schema.ts'
import { ExitCode, type Io } from './command.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { terminalText } from './terminal-text.ts'

export interface MapAction {
  readonly usage: string
  /** What it does, for the usage page. */
  readonly about: string
  /** How many arguments it takes. */
  readonly argumentCount: number
  run(args: readonly string[], io: Io): number
}

const HELP = { help: { kind: boolean, fallback: 'false', about: 'Print the usage page of map' } } as const

export const MAP_ACTIONS: Readonly<Record<string, MapAction>> = {
  check: {
    usage: 'check FILE',
    about: "Validate a fleet's file. Print every problem with its line and column",
    argumentCount: 1,
    run: ([path = ''], io) => check(path, io),
  },
  diff: {
    usage: 'diff A B',
    about:
      "Print what differs between two fleets' files or DERP maps. The exit code is 1 if anything differs",
    argumentCount: 2,
    run: ([before = '', after = ''], io) => diff(before, after, io),
  },
  schema: {
    usage: 'schema',
    about: "Print the JSON Schema of a fleet's file, for editors",
    argumentCount: 0,
    run(_args, io) {
      io.stdout.write(regionsSchemaText())
      return ExitCode.done
    },
  },
}

/** Runs an action of `map`, or prints the usage page. */
export function runMapAction([name = '', ...args]: readonly string[], io: Io, usage: () => string): number {
  const action = MAP_ACTIONS[name]
  const paths = args.filter((arg) => !/^-./.test(arg))
  const { problems, values } = readFlags(
    HELP,
    args.filter((arg) => /^-./.test(arg)),
  )
  if (values.get('help') !== undefined) {
    io.stdout.write(usage())
    return ExitCode.done
  }
  if (action !== undefined && problems.length === 0 && paths.length === action.argumentCount) {
    return action.run(paths, io)
  }
  if (problems.length > 0) reportProblems(io.stderr, `derpfleet map ${name}: nothing done`, problems)
  io.stderr.write(`usage: derpfleet map ${action?.usage ?? name}\n`)
  return ExitCode.misused
}

function check(path: string, io: Io): number {
  const file = readFileText(path)
  const read: RegionsFile =
    'text' in file
      ? readRegionsFile(path, file.text)
      : {
          problems: [{ where: path, found: whyUnread(file), expected: 'a YAML file of regions' }],
          warnings: [],
        }
  reportWarnings(io.stderr, read.warnings.map(problemText))
  if ('problems' in read) {
    reportProblems(io.stderr, 'derpfleet map: invalid file of regions', read.problems)
    return ExitCode.failed
  }
  const relays = read.regions.reduce((sum, { nodes }) => sum + nodes.length, 0)
  io.stdout.write(`${path} is valid: ${counted(read.regions.length, 'region')}, ${counted(relays, 'node')}\n`)
  return ExitCode.done
}

function diff(before: string, after: string, io: Io): number {
  const problems: Problem[] = []
  const maps = [before, after].map((path) => readMap(path, problems))
  const [old, next] = maps
  if (old === undefined || next === undefined) {
    reportProblems(io.stderr, 'derpfleet map: nothing compared', problems)
    return ExitCode.misused
  }
  const changes = mapChanges(old, next)
  for (const { text } of changes) io.stdout.write(`${terminalText(text)}\n`)
  if (changes.length === 0) return ExitCode.done
  io.stdout.write(`${reconnectText(changes)}\n`)
  return ExitCode.failed
}

function reconnectText(changes: readonly MapChange[]): string {
  const ids = new Set(changes.flatMap(({ reconnects }) => reconnects ?? []))
  if (ids.size === 0) return 'no client reconnects'
  return `clients reconnect to: ${[...ids].join(', ')}`
}

/** A fleet's file as the map of the fleet, or a DERP map in any form. */
function readMap(path: string, problems: Problem[]): ScoredMap | undefined {
  const file = readFileText(path)
  if (!('text' in file)) {
    problems.push({ where: path, found: whyUnread(file), expected: 'a YAML file of regions, or a DERP map' })
    return undefined
  }
  // Every DERP map repeats the number of a region in it; a fleet's file has no such field.
  if (/regionid/i.test(file.text)) {
    const map = readDerpMap(file.text)
    if (!('fault' in map)) return map
    problems.push({ where: path, found: map.fault, expected: '' })
    return undefined
  }
  const read = readRegionsFile(path, file.text)
  if ('problems' in read) {
    problems.push(...read.problems)
    return undefined
  }
  const scores = new Map(read.regions.map(({ id, preferWithinMs }) => [id, homeScore(preferWithinMs)]))
  return { regions: fileMap(read.regions), scores }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

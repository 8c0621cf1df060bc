// The command line of the comparison.

import { parseArgs } from 'node:util'
import type { Effort, Places } from './bench.ts'
import { FIGURES } from './figure-list.ts'
import { ELDER, OURS, RIVAL } from './server.ts'

export const HELP = `usage: npm run bench -- [options]
  --quick               a few seconds per figure, for trying
  --figure NAME         only this one; may be given several times: ${FIGURES.map(({ name }) => name).join(', ')}
  --rounds N            rounds of each figure (5)
  --seconds S           a round's window (4)
  --server NAME         measure this one; may be given several times: ${OURS}, ${RIVAL}, ${ELDER} (all three)
  --server NAME=HOST:PORT,PID[,plain]
                        and any other DERP server that runs already
  --threads N           relay threads of ${OURS} (1)
  --server-cpus LIST    where servers run, as taskset names processors (0)
  --generator-cpus LIST where the generator runs (1)
  --processes N         generator processes that share a load (1)
  --cross-check PATH    run this generator, too, for throughput; it has derpload's command line
  --resume FILE         go on with an interrupted run, or add figures to one: its .json
  --output FOLDER       where results go (bench/results)
`

export interface ForeignServer {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly pid: number
  readonly isPlain: boolean
}

export interface CompareOptions {
  readonly effort: Effort
  readonly figures: readonly string[]
  readonly started: readonly string[]
  readonly foreign: readonly ForeignServer[]
  readonly threads: number
  readonly places: Places
  readonly processes: number
  readonly crossCheckPath: string | undefined
  readonly resume: string | undefined
  readonly output: string
}

const FULL = { rounds: 5, seconds: 4, warmSeconds: 1, idleConnections: 10_000, quietSeconds: 60 }
const QUICK = { rounds: 1, seconds: 1.5, warmSeconds: 0.5, idleConnections: 1_000, quietSeconds: 3 }

/** Reads the command line; undefined when help was asked for. @throws Error naming what is wrong */
export function readOptions(args: readonly string[]): CompareOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      figure: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      server: { type: 'string', multiple: true, default: [OURS, RIVAL, ELDER] },
      threads: { type: 'string', default: '1' },
      'server-cpus': { type: 'string', default: '0' },
      'generator-cpus': { type: 'string', default: '1' },
      processes: { type: 'string', default: '1' },
      'cross-check': { type: 'string' },
      resume: { type: 'string' },
      output: { type: 'string', default: 'bench/results' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const base = values.quick ? QUICK : FULL
  const rounds = values.rounds === undefined ? base.rounds : positive('--rounds', values.rounds)
  const seconds = values.seconds === undefined ? base.seconds : positive('--seconds', values.seconds)
  return {
    effort: { ...base, isQuick: values.quick, rounds, seconds },
    figures: values.figure.map(figureName),
    started: values.server.filter((text) => !text.includes('=')).map(serverName),
    foreign: values.server.filter((text) => text.includes('=')).map(foreignServer),
    threads: positive('--threads', values.threads),
    places: {
      server: values['server-cpus'],
      generator: values['generator-cpus'],
      both: `${values['server-cpus']},${values['generator-cpus']}`,
    },
    processes: positive('--processes', values.processes),
    crossCheckPath: values['cross-check'],
    resume: values.resume,
    output: values.output,
  }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new Error(`${name} ${text}: expected a number above 0`)
}

function figureName(name: string): string {
  const names = FIGURES.map((figure) => figure.name)
  if (names.includes(name)) return name
  throw new Error(`--figure ${name}: expected one of ${names.join(', ')}`)
}

function serverName(name: string): string {
  if ([OURS, RIVAL, ELDER].includes(name)) return name
  throw new Error(`--server ${name}: expected ${OURS}, ${RIVAL}, ${ELDER} or NAME=HOST:PORT,PID`)
}

function foreignServer(text: string): ForeignServer {
  const [, name, host, port, pid, plain] = /^([^=]+)=([\d.]+):(\d+),(\d+)(,plain)?$/.exec(text) ?? []
  if (name === undefined || host === undefined) {
    throw new Error(
      `--server ${text}: expected NAME=HOST:PORT,PID or NAME=HOST:PORT,PID,plain with an IPv4 address`,
    )
  }
  return { name, host, port: Number(port), pid: Number(pid), isPlain: plain !== undefined }
}

// The command line of `npm run bench`.

import { parseArgs } from 'node:util'
import type { CpuSets, Effort } from './effort.ts'
import { FIGURES } from './figure-list.ts'
import { OLD_DERPER, DERPFLEET, DERPER, OUR_NAMES } from './server.ts'

/** The names of the figures, eight to a line of the help. */
const FIGURE_NAMES = FIGURES.map(({ name }, i) =>
  i > 0 && i % 8 === 0 ? `\n${' '.repeat(25)}${name}` : name,
)
  .join(', ')
  .replaceAll(', \n', ',\n')

export const HELP = `usage: npm run bench -- [options]
Measures this checkout's relay beside other DERP servers. Writes results as Markdown and JSON.

  --quick               a few seconds per figure; the results are not accurate
  --figure NAME         measure this figure only; repeatable
                        (${FIGURE_NAMES})
  --rounds N            rounds of each figure (default 5)
  --seconds S           measured window of a round in seconds (default 4)
  --clients N           clients of hundred-thousand (default 100000)
  --server NAME         measure this server; repeatable
                        (${DERPFLEET}, ${DERPER}, ${OLD_DERPER}; default all three).
                        ${DERPFLEET}-openssl, -handles and -sockets are this checkout's relay with
                        that way of TLS, ${DERPFLEET}-1ms, -500us and -250us with poll rounds of that length
  --server NAME=HOST:PORT,PID[,plain]
                        measure a DERP server that runs already; add ",plain" if it has no TLS
  --threads N           relay threads of ${DERPFLEET} (default 1)
  --server-cpus LIST    processors of the servers, in the format of taskset (default 0)
  --generator-cpus LIST processors of the load generator (default 1)
  --processes N         generator processes that share a load (default 1)
  --cross-check PATH    measure throughput also with this generator; needs derpload's command line
  --resume FILE         continue an interrupted run, or add figures to a run; FILE is its JSON file
  --output FOLDER       folder of the results (default bench/results)
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
  readonly cpuSets: CpuSets
  readonly processes: number
  readonly crossCheckPath: string | undefined
  readonly resume: string | undefined
  readonly output: string
}

const FULL = { rounds: 5, seconds: 4, warmSeconds: 1, idleConnections: 10_000, quietSeconds: 60 }
const QUICK = { rounds: 1, seconds: 1.5, warmSeconds: 0.5, idleConnections: 1_000, quietSeconds: 3 }

/** Reads the command line; undefined for --help. @throws Error naming the option, its value and what was expected */
export function readOptions(args: readonly string[]): CompareOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      figure: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      clients: { type: 'string' },
      server: { type: 'string', multiple: true, default: [DERPFLEET, DERPER, OLD_DERPER] },
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
  const crowd = values.clients === undefined ? {} : { crowd: positive('--clients', values.clients) }
  return {
    effort: { ...base, ...crowd, isQuick: values.quick, rounds, seconds },
    figures: values.figure.map(figureName),
    started: values.server.filter((text) => !text.includes('=')).map(serverName),
    foreign: values.server.filter((text) => text.includes('=')).map(foreignServer),
    threads: positive('--threads', values.threads),
    cpuSets: {
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
  const names = [...OUR_NAMES, DERPER, OLD_DERPER]
  if (names.includes(name)) return name
  throw new Error(`--server ${name}: expected ${names.join(', ')} or NAME=HOST:PORT,PID`)
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

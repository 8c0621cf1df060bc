// Measures this checkout's relay and other DERP servers side by side and writes what came of it: the program behind
// `npm run bench`. What is measured is in figures/, how in bench.ts; this is order, resumption and the files.

import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Bench } from './bench.ts'
import type { Figure } from './figure.ts'
import { FIGURES } from './figure-list.ts'
import { generatorPath } from './load/build-generator.ts'
import { describeCommit, describeMachine, processorTicks, stolenShare } from './machine.ts'
import { markdownOf } from './markdown-report.ts'
import { HELP, readOptions, type CompareOptions } from './options.ts'
import { Progress } from './progress.ts'
import { newRecord, readRecord, writeRecord, writeWhole, type Record } from './run-record.ts'
import { Server, Workplace } from './server.ts'

/** A first load makes compilers and allocators do what they do once; its figures are thrown away. */
const WARM_UP_RATE = 30_000
const WARM_UP_SECONDS = 3
/** More stolen time than this share is worth a mark. */
const STOLEN_MAX = 0.02

/** Starts what is to be started into `servers`, so that whoever has that can stop what was. */
async function startServers(options: CompareOptions, workplace: Workplace, servers: Server[]): Promise<void> {
  for (const name of options.started) {
    servers.push(
      await Server.start(name, workplace, { cpus: options.places.server, threads: options.threads }),
    )
  }
  for (const { name, host, port, pid, isPlain } of options.foreign) {
    servers.push(Server.known(name, { host, port, isPlain }, pid, workplace))
  }
}

/** The figures to measure: those asked for, or all that are not separate, less those that are there already. */
function figuresOf(options: CompareOptions, record: Record): Figure[] {
  const asked = FIGURES.filter(({ name, isSeparate }) =>
    options.figures.length === 0 ? isSeparate !== true : options.figures.includes(name),
  )
  return asked.filter(({ name }) => record.figures[name] === undefined)
}

async function measure(bench: Bench, figure: Figure): Promise<Record['figures'][string]> {
  const started = performance.now()
  const before = await processorTicks()
  bench.collect()
  const measured = await figure.measure(bench)
  const stolen = await stolenShare(before)
  if (stolen > STOLEN_MAX)
    bench.mark(`${(100 * stolen).toFixed(1)} % of the processors' time was taken by the machine's host`)
  const seconds = (performance.now() - started) / 1000
  return { title: figure.title, ...measured, ...bench.collect(), seconds }
}

/** The record to go on with. @throws Error when it is of another commit or of other servers */
async function resumed(options: CompareOptions): Promise<Record | undefined> {
  if (options.resume === undefined) return undefined
  const record = await readRecord(options.resume)
  const commit = await describeCommit()
  if (record.commit !== commit) {
    throw new Error(`--resume ${options.resume}: is of commit ${record.commit}, and this is ${commit}`)
  }
  const wanted = [...options.started, ...options.foreign.map(({ name }) => name)].join(', ')
  const measured = record.servers.map(({ name }) => name).join(', ')
  if (wanted !== measured)
    throw new Error(`--resume ${options.resume}: is of the servers ${measured}; expected ${wanted}`)
  return { ...record, commandLine: `${record.commandLine}\n${commandLine()}` }
}

function commandLine(): string {
  return ['npm run bench --', ...process.argv.slice(2)].join(' ')
}

/** A name that is not taken: a second run on the same day does not overwrite the first. */
function freePath(folder: string, name: string): string {
  for (let n = 1; ; n++) {
    const path = join(folder, `${name}${n === 1 ? '' : `-${n}`}.json`)
    if (!existsSync(path)) return path
  }
}

/** A command as it may be published: without where things lie on this machine. */
function placeless(command: string, { folder }: Workplace): string {
  const root = join(import.meta.dirname, '..')
  return command.replaceAll(folder, 'WORK').replaceAll(`${root}/`, '').replaceAll(homedir(), '~')
}

async function begun(bench: Bench): Promise<Record> {
  return newRecord({
    commit: await describeCommit(),
    machine: await describeMachine(),
    effort: bench.effort,
    servers: bench.servers.map(({ name, command }) => ({
      name,
      command: placeless(command, bench.workplace),
    })),
    reference: bench.reference.name,
    commandLine: commandLine(),
    facts: bench.facts,
  })
}

async function compare(options: CompareOptions): Promise<void> {
  const progress = new Progress()
  progress.figure('preparing')
  const earlier = await resumed(options)
  await generatorPath()
  const workplace = await Workplace.make()
  const servers: Server[] = []
  try {
    await startServers(options, workplace, servers)
    const { places, processes, crossCheckPath } = options
    const { effort, facts } = earlier ?? { effort: options.effort, facts: {} }
    const bench = new Bench({
      servers,
      effort,
      places,
      workplace,
      progress,
      facts,
      processes,
      crossCheckPath,
    })
    await measureAll(options, bench, earlier)
  } finally {
    for (const server of servers) await server.stop()
    workplace.remove()
  }
}

async function measureAll(options: CompareOptions, bench: Bench, earlier: Record | undefined): Promise<void> {
  const { progress } = bench
  const record = earlier ?? (await begun(bench))
  const name = `${record.started.slice(0, 10)}-${record.commit}${record.effort.isQuick ? '-quick' : ''}`
  const path = options.resume ?? freePath(options.output, name)
  const figures = figuresOf(options, record)
  for (const server of bench.servers) {
    progress.step(`${server.name}: a first load, not counted`)
    await bench.flow(server, bench.load(WARM_UP_RATE, 10, { seconds: WARM_UP_SECONDS }))
  }
  for (const [at, figure] of figures.entries()) {
    progress.figure(`${at + 1}/${figures.length} ${figure.name}`)
    try {
      const result = await measure(bench, figure)
      record.figures[figure.name] = result
      progress.say(`${figure.name}: done in ${result.seconds.toFixed(0)} s`)
    } catch (error) {
      process.exitCode = 1
      progress.say(`${figure.name}: FAILED: ${error instanceof Error ? error.message : String(error)}`)
      continue
    }
    await writeRecord(path, record)
    await writeWhole(path.replace(/\.json$/, '.md'), markdownOf(record))
  }
  progress.say(`results in ${path.replace(/\.json$/, '.md')}`)
}

let options: CompareOptions | undefined
try {
  options = readOptions(process.argv.slice(2))
  if (options === undefined) process.stdout.write(HELP)
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n\n${HELP}`)
  process.exitCode = 2
}
if (options !== undefined) {
  // Servers and generators are children that die with this process; an interrupted run keeps its finished figures.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  try {
    await compare(options)
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

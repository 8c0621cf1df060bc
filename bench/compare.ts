// The program behind `npm run bench`: measures this checkout's relay and other DERP servers side by side and writes the
// results. The figures are in figures/, their context in bench.ts; here are the order, the resumption of a run, and the
// result files.

import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Bench } from './bench.ts'
import type { Figure, FigureResult } from './figure.ts'
import { FIGURES } from './figure-list.ts'
import { generatorPath } from './load/build-generator.ts'
import { describeCommit, describeMachine, haveSameProgram } from './machine.ts'
import { markdownReport } from './markdown-report.ts'
import { HELP, readOptions, type CompareOptions } from './options.ts'
import { processorTicks, stolenShare } from './process-stats.ts'
import { Progress } from './progress.ts'
import { newRunRecord, readRunRecord, writeRunRecord, replaceFile, type RunRecord } from './run-record.ts'
import { Server } from './server.ts'
import { WorkFolder } from './work-folder.ts'

/** Each server gets a first load that is not counted, for just-in-time compilers and allocators. */
const WARM_UP_RATE = 30_000
const WARM_UP_SECONDS = 3
/** A figure is marked if the machine's host took a larger share of processor time. */
const STOLEN_MAX = 0.02

/** Adds the servers to `servers` one by one, so that the caller can stop those that were started if one fails. */
async function startServers(
  options: CompareOptions,
  workFolder: WorkFolder,
  servers: Server[],
): Promise<void> {
  for (const name of options.started) {
    servers.push(
      await Server.start(name, workFolder, { cpus: options.cpuSets.server, threads: options.threads }),
    )
  }
  for (const { name, host, port, pid, isPlain } of options.foreign) {
    servers.push(Server.known(name, { host, port, isPlain }, pid, workFolder))
  }
}

/**
 * The figures to measure: those of --figure, or all that are not separate; without those that the record has already.
 */
function figuresOf(options: CompareOptions, record: RunRecord): Figure[] {
  const asked = FIGURES.filter(({ name, isSeparate }) =>
    options.figures.length === 0 ? isSeparate !== true : options.figures.includes(name),
  )
  return asked.filter(({ name }) => record.figures[name] === undefined)
}

/** @param recordCommit the commit of the record that it is added to */
async function measure(bench: Bench, figure: Figure, recordCommit: string): Promise<FigureResult> {
  const started = performance.now()
  const before = await processorTicks()
  bench.notes.take()
  const measured = await figure.measure(bench)
  const stolen = await stolenShare(before)
  if (stolen > STOLEN_MAX)
    bench.notes.addMark(`the machine's host took ${(100 * stolen).toFixed(1)} % of the processor time`)
  const seconds = (performance.now() - started) / 1000
  const commit = await describeCommit()
  const notes =
    commit === recordCommit
      ? measured.notes
      : [...measured.notes, `Measured at commit ${commit}, which has the same relay as ${recordCommit}.`]
  return { title: figure.title, ...measured, notes, ...bench.notes.take(), seconds }
}

/** The record of --resume. @throws Error if it is of another relay or of other servers */
async function resumedRecord(options: CompareOptions): Promise<RunRecord | undefined> {
  if (options.resume === undefined) return undefined
  const record = await readRunRecord(options.resume)
  const commit = await describeCommit()
  if (!(await haveSameProgram(record.commit, commit)))
    throw new Error(
      `--resume ${options.resume}: measured at commit ${record.commit}; ${commit} has another relay`,
    )
  const wanted = [...options.started, ...options.foreign.map(({ name }) => name)].join(', ')
  const measured = record.servers.map(({ name }) => name).join(', ')
  if (wanted !== measured)
    throw new Error(`--resume ${options.resume}: measured with the servers ${measured}; expected ${wanted}`)
  return { ...record, commandLine: `${record.commandLine}\n${commandLine()}` }
}

/** For publication, as if the results had been where they are published. */
function commandLine(): string {
  const line = ['npm run bench --', ...process.argv.slice(2)].join(' ')
  return line.replace(/ --output \S+/, '').replace(/(--resume )\S*\//, '$1bench/results/')
}

/** A path that does not exist yet: a second run at the same commit and day does not overwrite the first. */
function freePath(folder: string, name: string): string {
  for (let n = 1; ; n++) {
    const path = join(folder, `${name}${n === 1 ? '' : `-${n}`}.json`)
    if (!existsSync(path)) return path
  }
}

/** A command without this machine's paths, for publication. */
function withoutPaths(command: string, workFolder: WorkFolder): string {
  const root = join(import.meta.dirname, '..')
  return command.replaceAll(workFolder.path, 'WORK').replaceAll(`${root}/`, '').replaceAll(homedir(), '~')
}

async function startRecord(bench: Bench): Promise<RunRecord> {
  return newRunRecord({
    commit: await describeCommit(),
    machine: await describeMachine(),
    effort: bench.effort,
    servers: bench.servers.map(({ name, command }) => ({
      name,
      command: withoutPaths(command, bench.workFolder),
    })),
    reference: bench.reference.name,
    commandLine: commandLine(),
    facts: bench.facts,
  })
}

async function compare(options: CompareOptions): Promise<void> {
  const progress = new Progress()
  progress.figure('preparing')
  const earlier = await resumedRecord(options)
  await generatorPath()
  const workFolder = await WorkFolder.make()
  const servers: Server[] = []
  try {
    await startServers(options, workFolder, servers)
    const { cpuSets, processes, crossCheckPath } = options
    const { effort, facts } = earlier ?? { effort: options.effort, facts: {} }
    const bench = new Bench({
      servers,
      effort,
      cpuSets,
      workFolder,
      progress,
      facts,
      processes,
      crossCheckPath,
    })
    await measureAll(options, bench, earlier)
  } finally {
    for (const server of servers) await server.stop()
    workFolder.remove()
  }
}

async function measureAll(
  options: CompareOptions,
  bench: Bench,
  earlier: RunRecord | undefined,
): Promise<void> {
  const { progress } = bench
  const record = earlier ?? (await startRecord(bench))
  const name = `${record.started.slice(0, 10)}-${record.commit}${record.effort.isQuick ? '-quick' : ''}`
  const path = options.resume ?? freePath(options.output, name)
  const figures = figuresOf(options, record)
  for (const server of bench.servers) {
    progress.step(`${server.name}: warm-up load`)
    await bench.runLoad(server, bench.load(WARM_UP_RATE, 10, { seconds: WARM_UP_SECONDS }))
  }
  for (const [at, figure] of figures.entries()) {
    progress.figure(`${at + 1}/${figures.length} ${figure.name}`)
    try {
      const result = await measure(bench, figure, record.commit)
      record.figures[figure.name] = result
      progress.print(`${figure.name}: done in ${result.seconds.toFixed(0)} s`)
    } catch (error) {
      process.exitCode = 1
      progress.print(`${figure.name}: failed: ${error instanceof Error ? error.message : String(error)}`)
      continue
    }
    await writeRunRecord(path, record)
    await replaceFile(path.replace(/\.json$/, '.md'), markdownReport(record))
  }
  progress.print(`results in ${path.replace(/\.json$/, '.md')}`)
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
  // Servers and generators are children that end with this process. The finished figures of an interrupted run are
  // kept.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  try {
    await compare(options)
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

// The context in which figures are measured: the servers, the effort, and the functions that run loads against a
// server. Rounds alternate between servers, so that other activity on the machine affects all of them alike.

import { setTimeout as sleep } from 'node:timers/promises'
import type { CpuSets, Effort } from './effort.ts'
import { doubtsAbout } from './load/doubts.ts'
import { runTogether, type Generator } from './load/generator-process.ts'
import { connectionsOf, loadArguments, type Load } from './load/load.ts'
import { mergeLoadOutcomes, type LoadOutcome } from './load/outcome.ts'
import { cpuSeconds, processorTicks, stolenShare } from './process-stats.ts'
import { ProcessorSpeed } from './processor-speed.ts'
import type { Progress } from './progress.ts'
import { RunNotes } from './run-notes.ts'
import { DERPER, DERPFLEET, Server, type LoadTarget, type StartOptions } from './server.ts'
import type { WorkFolder } from './work-folder.ts'

/**
 * Logins that loads use in turn, so that a load never receives packets that a server still queues for the keys of the
 * load before. Two loads of 1,000 pairs fit.
 */
export const LOGIN_POOL = 5_000

const SETTLE_INTERVAL_MS = 200
const SETTLE_INTERVALS_MAX = 25
/** A server that uses a smaller share of its processor has finished the load. */
const SETTLED_SHARE = 0.15

/**
 * A round is repeated if the host of a virtual machine took a larger share of the processors: 100 ms in a round of ten
 * seconds on two processors. That time is in every delay, and no server causes it.
 */
const STOLEN_SHARE_MAX = 0.004
/**
 * Or if the same work took so many times as long on the servers' processor as at its best: 1.7 where the core's other
 * hardware thread is busy, 1.3 where the processor sleeps in between.
 */
const SLOWNESS_MAX = 1.5
const ATTEMPTS_MAX = 4
/** Longer rounds are not repeated. */
const REPEATED_SECONDS_MAX = 60

/** Numbers that figures use of each other, by name. Stored in the run's record. */
export type Facts = Record<string, number>

/** What a Bench is made of. */
type BenchParts = Pick<
  Bench,
  'servers' | 'effort' | 'cpuSets' | 'workFolder' | 'progress' | 'facts' | 'processes' | 'crossCheckPath'
>

export class Bench {
  /** The servers that every figure is measured on, this checkout's relay first. */
  readonly servers: readonly Server[]
  readonly effort: Effort
  readonly cpuSets: CpuSets
  readonly workFolder: WorkFolder
  readonly progress: Progress
  readonly facts: Facts
  readonly notes = new RunNotes()
  /** Generator processes that share a load. */
  readonly processes: number
  /** Path of a second generator with derpload's command line, run beside throughput figures. */
  readonly crossCheckPath: string | undefined
  #nextLogin = 0
  #speed: ProcessorSpeed | undefined

  constructor(parts: BenchParts) {
    this.servers = parts.servers
    this.effort = parts.effort
    this.cpuSets = parts.cpuSets
    this.workFolder = parts.workFolder
    this.progress = parts.progress
    this.facts = parts.facts
    this.processes = parts.processes
    this.crossCheckPath = parts.crossCheckPath
  }

  /** This checkout's relay; undefined if only other servers are measured. */
  get ours(): Server | undefined {
    return this.servers.find(({ name }) => name === DERPFLEET)
  }

  /** The server that others are compared with: the current derper, or else the first server. */
  get reference(): Server {
    const found = this.servers.find(({ name }) => name === DERPER) ?? this.servers[0]
    if (found === undefined) throw new Error('no servers to measure')
    return found
  }

  /** Measures every server once per round. Each round begins with another server. Returns the rounds by server. */
  async interleaved<On extends { readonly name: string }, Measured>(
    servers: readonly On[],
    measure: (server: On, round: number) => Promise<Measured>,
    rounds: number = this.effort.rounds,
  ): Promise<Map<On, Measured[]>> {
    const measured = new Map<On, Measured[]>(servers.map((server) => [server, []]))
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < servers.length; i++) {
        const server = servers[(i + round) % servers.length]
        if (server === undefined) continue
        this.progress.step(`${server.name}, round ${round + 1} of ${rounds}`)
        measured.get(server)?.push(await this.#repeatedIfDisturbed(server.name, () => measure(server, round)))
      }
    }
    return measured
  }

  /** A load of the usual length. */
  load(rate: number | 'all', pairs = 10, more: Partial<Load> = {}): Load {
    const { seconds, warmSeconds } = this.effort
    return { topology: 'pairs', count: pairs, rate, seconds, warmSeconds, ...more }
  }

  /** Runs a load. Adds reasons to doubt its result to the notes. */
  async runLoad(server: LoadTarget, load: Load): Promise<LoadOutcome> {
    const [outcome] = await this.runLoads(server, [load])
    if (outcome === undefined) throw new Error('a load without an outcome')
    return outcome
  }

  /**
   * Runs several loads at the same time, each in processes of its own. Returns the outcomes in the order of the loads.
   */
  async runLoads(server: LoadTarget, loads: readonly Load[]): Promise<LoadOutcome[]> {
    const { byLoad } = await this.runGenerators(server, loads)
    return loads.map((load, i) => {
      const outcome = mergeLoadOutcomes((byLoad[i] ?? []).flatMap((generator) => generator.all('load')))
      for (const doubt of doubtsAbout(server.name, load, outcome)) this.notes.addMark(doubt)
      return outcome
    })
  }

  /**
   * Runs several loads and returns their generators; `extra` are the arguments of further generators that run beside
   * them.
   */
  async runGenerators(
    server: LoadTarget,
    loads: readonly Load[],
    extra: readonly (readonly string[])[] = [],
  ): Promise<{ byLoad: Generator[][]; extra: Generator[] }> {
    const needed = loads.reduce((sum, load) => sum + connectionsOf(load), 0)
    const common = await server.arguments(LOGIN_POOL)
    if (this.#nextLogin + needed > LOGIN_POOL) this.#nextLogin = 0
    let loginFrom = this.#nextLogin
    this.#nextLogin += needed
    const cpu = this.cpuSets.generator
    const runs = loads.flatMap((load) => {
      const processes = load.sleeps === true || load.count % this.processes !== 0 ? 1 : this.processes
      const args = loadArguments(load, processes)
      return Array.from({ length: processes }, () => {
        const run = [...common, '--login-from', `${loginFrom}`, ...args]
        loginFrom += connectionsOf(load) / processes
        return { args: run, cpu, load }
      })
    })
    const all = await runTogether([...runs, ...extra.map((args) => ({ args, cpu }))])
    await this.#untilIdle(server)
    const byLoad = loads.map((load) => all.filter((_, i) => runs[i]?.load === load))
    for (const [generator] of byLoad) if (generator !== undefined) this.notes.addCommand(generator.command)
    return { byLoad, extra: all.slice(runs.length) }
  }

  /** Starts a further server. The caller stops it. */
  start(name: string, options: Partial<StartOptions>): Promise<Server> {
    return Server.start(name, this.workFolder, { cpus: this.cpuSets.server, ...options })
  }

  /** Starts a server for one piece of work, and stops it. */
  async withFresh<Done>(
    name: string,
    options: Partial<StartOptions>,
    work: (server: Server) => Promise<Done>,
  ): Promise<Done> {
    const server = await this.start(name, options)
    try {
      return await work(server)
    } finally {
      await server.stop()
    }
  }

  /**
   * Repeats a round of `server` in which the machine's host took processor time or slowed the processor, up to a limit.
   * A figure that has one slow round all the same gets no more chances. Quick runs repeat nothing.
   */
  async #repeatedIfDisturbed<Measured>(server: string, measure: () => Promise<Measured>): Promise<Measured> {
    this.#speed ??= await ProcessorSpeed.start(this.cpuSets.server)
    for (let attempts = 1; ; attempts++) {
      const started = performance.now()
      const before = await processorTicks()
      const { measured, slowness } = await this.#speed.during(measure)
      const isStolen = (await stolenShare(before)) > STOLEN_SHARE_MAX
      const isSlow = slowness > SLOWNESS_MAX
      const isLong = performance.now() - started > 1_000 * REPEATED_SECONDS_MAX
      const isDisturbed = isStolen || (isSlow && !this.notes.hasSlowRounds)
      if (isDisturbed && !isLong && attempts < ATTEMPTS_MAX && !this.effort.isQuick) {
        this.notes.countRepeat()
        continue
      }
      if (isSlow) this.notes.countSlowRound(server)
      return measured
    }
  }

  /**
   * Waits until the server has processed the packets that a load left in queues and buffers, which would affect the
   * next load.
   */
  async #untilIdle({ pids }: LoadTarget): Promise<void> {
    const used = async (): Promise<number> => Math.max(...(await Promise.all(pids.map(cpuSeconds))))
    let before = await used()
    for (let i = 0; i < SETTLE_INTERVALS_MAX; i++) {
      await sleep(SETTLE_INTERVAL_MS)
      const now = await used()
      if (now - before < (SETTLED_SHARE * SETTLE_INTERVAL_MS) / 1_000) return
      before = now
    }
  }
}

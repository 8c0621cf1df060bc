// The bench that figures are measured on: the servers that stand ready, how long and how often things are measured,
// and loads run against them. Rounds go from server to server, so that whatever else the machine does falls on all.

import { setTimeout as sleep } from 'node:timers/promises'
import { runTogether, type Generator } from './load/generator-process.ts'
import { mergeFlows, wrongFrames, type FlowOutcome } from './load/outcome.ts'
import { cpuSeconds, processorTicks, stolenShare } from './machine.ts'
import { connectionsOf, loadArguments, type Load } from './load/load.ts'
import type { Progress } from './progress.ts'
import { OURS, RIVAL, Server, type StartOptions, type Target, type Workplace } from './server.ts'

/** Above this share of its processor the generator may be what was measured. */
const GENERATOR_BUSY_MAX = 0.97

/**
 * Logins that loads take in turn, so that one never gets what a server still has in its queues for the keys of the one
 * before. Two loads of 1,000 pairs fit.
 */
export const LOGIN_POOL = 5_000

const SETTLE_LOOK_MS = 200
const SETTLE_LOOKS_MAX = 25
/** A relay with nothing to do uses less of its processor. */
const SETTLED_SHARE = 0.15

/** A generator that is late for more than this share offers something else than it was asked for. */
const LATE_SHARE_MAX = 0.02

/**
 * A round in which the host of a virtual machine took more than this share of the processors is measured again: 100 ms
 * in a round of ten seconds on two processors. It is in every delay, and nobody's doing.
 */
const STOLEN_SHARE_MAX = 0.004
const ATTEMPTS_MAX = 4
/** A round that takes longer bears it. */
const REPEATED_SECONDS_MAX = 60

/** How thoroughly to measure. */
export interface Effort {
  readonly isQuick: boolean
  readonly rounds: number
  /** The measured window of a load, and what goes before it. */
  readonly seconds: number
  readonly warmSeconds: number
  /** Idle connections, and clients of a storm. */
  readonly idleConnections: number
  readonly quietSeconds: number
}

export interface Places {
  /** Processors, as taskset names them. */
  readonly server: string
  readonly generator: string
  readonly both: string
}

/** Numbers that figures take from each other, by name; kept with the results. */
export type Facts = Record<string, number>

export class Bench {
  /** What every figure is measured on, this checkout's relay first. */
  readonly servers: readonly Server[]
  readonly effort: Effort
  readonly places: Places
  readonly workplace: Workplace
  readonly progress: Progress
  readonly facts: Facts
  /** Generator processes that share a load. */
  readonly processes: number
  /** Of the derpload command line, run beside throughput figures. */
  readonly crossCheckPath: string | undefined
  readonly #commands = new Map<string, string>()
  readonly #marks = new Set<string>()
  #loginAt = 0
  #repeats = 0

  constructor(parts: {
    readonly servers: readonly Server[]
    readonly effort: Effort
    readonly places: Places
    readonly workplace: Workplace
    readonly progress: Progress
    readonly facts: Facts
    readonly processes: number
    readonly crossCheckPath: string | undefined
  }) {
    this.servers = parts.servers
    this.effort = parts.effort
    this.places = parts.places
    this.workplace = parts.workplace
    this.progress = parts.progress
    this.facts = parts.facts
    this.processes = parts.processes
    this.crossCheckPath = parts.crossCheckPath
  }

  /** This checkout's relay; undefined where only others are measured. */
  get ours(): Server | undefined {
    return this.servers.find(({ name }) => name === OURS)
  }

  /** The one that others are compared with: derper of this year, or the first there is. */
  get reference(): Server {
    const found = this.servers.find(({ name }) => name === RIVAL) ?? this.servers[0]
    if (found === undefined) throw new Error('no servers to measure')
    return found
  }

  /** Measures every server once a round, each round beginning with another; answers the rounds by server. */
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
        measured.get(server)?.push(await this.#undisturbed(() => measure(server, round)))
      }
    }
    return measured
  }

  /** A load of the usual length. */
  load(rate: number | 'all', pairs = 10, more: Partial<Load> = {}): Load {
    const { seconds, warmSeconds } = this.effort
    return { topology: 'pairs', count: pairs, rate, seconds, warmSeconds, ...more }
  }

  /** Runs a load. What makes its figures doubtful is marked. */
  async flow(server: Target, load: Load): Promise<FlowOutcome> {
    const [outcome] = await this.flows(server, [load])
    if (outcome === undefined) throw new Error('a load without an outcome')
    return outcome
  }

  /** Runs several loads at the same time, each in processes of its own; answers them in order. */
  async flows(server: Target, loads: readonly Load[]): Promise<FlowOutcome[]> {
    const { byLoad } = await this.generators(server, loads)
    return byLoad.map((generators, i) => {
      const flow = mergeFlows(generators.flatMap((generator) => generator.all('load')))
      if (loads[i] !== undefined) this.#judge(server, loads[i], flow)
      return flow
    })
  }

  /** The same, with all that the generators said; `extra` are further runs beside them, by their arguments. */
  async generators(
    server: Target,
    loads: readonly Load[],
    extra: readonly (readonly string[])[] = [],
  ): Promise<{ byLoad: Generator[][]; extra: Generator[] }> {
    const needed = loads.reduce((sum, load) => sum + connectionsOf(load), 0)
    const common = await server.arguments(LOGIN_POOL)
    if (this.#loginAt + needed > LOGIN_POOL) this.#loginAt = 0
    let loginFrom = this.#loginAt
    this.#loginAt += needed
    const runs = loads.flatMap((load) => {
      const processes = load.sleeps === true || load.count % this.processes !== 0 ? 1 : this.processes
      const args = loadArguments(load, processes)
      return Array.from({ length: processes }, () => {
        const run = [...common, '--login-from', `${loginFrom}`, ...args]
        loginFrom += connectionsOf(load) / processes
        return { args: run, cpu: this.places.generator, load }
      })
    })
    const all = await runTogether([...runs, ...extra.map((args) => ({ args, cpu: this.places.generator }))])
    await this.#settle(server)
    const byLoad = loads.map((load) => all.filter((_, i) => runs[i]?.load === load))
    for (const [generator] of byLoad) if (generator !== undefined) this.note(generator.command)
    return { byLoad, extra: all.slice(runs.length) }
  }

  /** Starts a server beside the standing ones; stop it. */
  start(name: string, options: Partial<StartOptions>): Promise<Server> {
    return Server.start(name, this.workplace, { cpus: this.places.server, ...options })
  }

  /** Starts a server for one piece of work alone, and stops it. */
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

  /** Keeps a generator's command line for the report, the last of each kind of run. */
  note(command: string): void {
    const shown = command
      .replace(/--addr \S+/, '--addr HOST:PORT')
      .replace(/--far \S+/, '--far HOST:PORT')
      .replaceAll(/logins \S+/g, 'logins FILE')
      .replaceAll(/pid \d+/g, 'pid PID')
      .replace(/--login-from \d+ /, '')
    const kind = shown.replace(/\d+(\.\d+)?/g, 'N')
    this.#commands.set(kind, shown)
  }

  /** Keeps what makes a figure doubtful, for the report. */
  mark(text: string): void {
    this.#marks.add(text)
  }

  /** Commands and marks since the last call, and how many rounds had to be measured again. */
  collect(): { commands: string[]; marks: string[]; repeats: number } {
    const collected = {
      commands: [...this.#commands.values()],
      marks: [...this.#marks],
      repeats: this.#repeats,
    }
    this.#commands.clear()
    this.#marks.clear()
    this.#repeats = 0
    return collected
  }

  /** A round that the machine's host has left alone, as far as there is one. */
  async #undisturbed<Measured>(measure: () => Promise<Measured>): Promise<Measured> {
    for (let attempts = 1; ; attempts++) {
      const started = performance.now()
      const before = await processorTicks()
      const measured = await measure()
      const isStolen = (await stolenShare(before)) > STOLEN_SHARE_MAX
      const isLong = performance.now() - started > 1_000 * REPEATED_SECONDS_MAX
      if (!isStolen || isLong || attempts === ATTEMPTS_MAX || this.effort.isQuick) return measured
      this.#repeats++
    }
  }

  /** What a load left in queues and buffers is the next one's burden: waits until the server has done with it. */
  async #settle({ pids }: Target): Promise<void> {
    const used = async (): Promise<number> => Math.max(...(await Promise.all(pids.map(cpuSeconds))))
    let before = await used()
    for (let i = 0; i < SETTLE_LOOKS_MAX; i++) {
      await sleep(SETTLE_LOOK_MS)
      const now = await used()
      if (now - before < (SETTLED_SHARE * SETTLE_LOOK_MS) / 1_000) return
      before = now
    }
  }

  #judge(server: Target, load: Load, flow: FlowOutcome): void {
    const what = `${server.name}, ${load.count} ${load.topology} at ${load.rate === 'all' ? 'all that can be sent' : `${Math.round(load.rate)}/s`}`
    if (flow.busy > GENERATOR_BUSY_MAX && load.sleeps !== true) {
      this.mark(`${what}: the generator was busy for more than 97 % of its time`)
    }
    if (flow.late > LATE_SHARE_MAX * flow.sent) {
      this.mark(`${what}: the generator sent over ${100 * LATE_SHARE_MAX} % of it over 5 ms late`)
    }
    const wrong = wrongFrames(flow)
    if (wrong > 0) {
      const { corrupted, misdelivered, duplicated, reordered } = flow
      this.mark(
        `${what}: WRONG FRAMES: ${corrupted} corrupted, ${misdelivered} misdelivered, ${duplicated} duplicated, ${reordered} reordered`,
      )
    }
    if (flow.closed > 0) this.mark(`${what}: the server closed ${flow.closed} connections`)
  }
}

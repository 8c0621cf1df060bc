// One run of autocannon against one page, and nothing else: the program that `measure-pages.ts` starts, so that it can
// have a processor of its own. Takes its job as JSON in the first argument, prints the figures as JSON.
//
// autocannon's own percentiles are whole milliseconds, and it calls a connection that the server ends no error; so
// response times are kept here one by one, and requests that were never answered are counted.

import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'

export interface CannonJob {
  readonly url: string
  readonly connections: number
  readonly durationMs: number
  /** The server's process, whose CPU time is read. */
  readonly serverPid: number | undefined
}

export interface CannonFigures {
  /** What was measured, which is a little more than was asked for. */
  readonly durationMs: number
  readonly requests: number
  readonly requestsPerSecond: number
  /** From the request to the whole answer, without each connection's first; null when there was no other. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
  /** The slowest first answer of a connection, with TCP and TLS before it. */
  readonly firstAnswerMs: number
  /** Connections refused, reset or otherwise broken. */
  readonly errors: number
  readonly timeouts: number
  readonly non2xx: number
  /** Requests sent on connections that the server ended before it had answered. */
  readonly unanswered: number
  /** How often each status came, and each error. */
  readonly statuses: Readonly<Record<string, number>>
  readonly errorTexts: Readonly<Record<string, number>>
  /** CPU time that one request cost the server; undefined when its process was not named or nothing was answered. */
  readonly serverCpuUs: number | undefined
}

/** autocannon looks so often whether its time is over, and waits so long for an answer. */
const SAMPLE_MS = 50
const TIMEOUT_SECONDS = 10
/** Linux counts processes' CPU time in ticks of this length, whatever its clock's rate. */
const CPU_TICK_MS = 10

/** Gathers what autocannon tells of each answer. */
class Tally {
  readonly statuses: Record<string, number> = {}
  readonly errorTexts: Record<string, number> = {}
  readonly #latenciesMs: number[] = []
  readonly #begun = new Set<unknown>()
  firstAnswerMs = 0

  answered(connection: unknown, status: number, tookMs: number): void {
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    if (this.#begun.has(connection)) {
      this.#latenciesMs.push(tookMs)
      return
    }
    this.#begun.add(connection)
    this.firstAnswerMs = Math.max(this.firstAnswerMs, tookMs)
  }

  failed(error: NodeJS.ErrnoException): void {
    const text = error.code ?? error.message
    this.errorTexts[text] = (this.errorTexts[text] ?? 0) + 1
  }

  latencyMs(): CannonFigures['latencyMs'] {
    const sorted = Float64Array.from(this.#latenciesMs).sort()
    if (sorted.length === 0) return null
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
    return { p50: at(0.5), p99: at(0.99), max: at(1) }
  }
}

/** Asks for a page for a time. @throws Error when autocannon can't begin */
async function fire(job: CannonJob): Promise<CannonFigures> {
  const tally = new Tally()
  const cpuBeforeMs = cpuMs(job.serverPid)
  const startMs = performance.now()
  const result = await shoot(job, tally)
  const durationMs = performance.now() - startMs
  const requests = Object.values(tally.statuses).reduce((sum, count) => sum + count, 0)
  const serverMs = cpuMs(job.serverPid) - cpuBeforeMs
  return {
    durationMs,
    requests,
    requestsPerSecond: (1_000 * requests) / durationMs,
    latencyMs: tally.latencyMs(),
    firstAnswerMs: tally.firstAnswerMs,
    errors: result.errors - result.timeouts,
    timeouts: result.timeouts,
    non2xx: result.non2xx,
    // At the end every connection waits for one more.
    unanswered: Math.max(0, result.requests.sent - requests - job.connections - result.errors),
    statuses: tally.statuses,
    errorTexts: tally.errorTexts,
    serverCpuUs: job.serverPid === undefined || requests === 0 ? undefined : (1_000 * serverMs) / requests,
  }
}

async function shoot(job: CannonJob, tally: Tally): Promise<autocannon.Result> {
  const options: autocannon.Options = {
    url: job.url,
    connections: job.connections,
    duration: job.durationMs / 1_000,
    timeout: TIMEOUT_SECONDS,
    sampleInt: SAMPLE_MS,
  }
  const done = Promise.withResolvers<autocannon.Result>()
  const run = autocannon(options, (error: Error | null, result) => {
    if (error === null) done.resolve(result)
    else done.reject(error)
  })
  run.on('response', (connection, status, _bytes, tookMs) => tally.answered(connection, status, tookMs))
  run.on('reqError', (error: NodeJS.ErrnoException) => tally.failed(error))
  return await done.promise
}

/** User and system time of a process; 0 when there is none to read. */
function cpuMs(pid: number | undefined): number {
  if (pid === undefined) return 0
  // The name, in brackets, may hold anything; utime and stime are fields 14 and 15.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return CPU_TICK_MS * (Number(fields[11]) + Number(fields[12]))
}

console.log(JSON.stringify(await fire(JSON.parse(process.argv[2] ?? '') as CannonJob)))

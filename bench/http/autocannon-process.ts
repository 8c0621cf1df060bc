// One run of autocannon against a page, or several in turn: a program that measure-pages.ts starts, so that it can be pinned to a
// processor. The job is JSON in the first argument; the result is printed as JSON.
//
// autocannon's own percentiles are whole milliseconds, and a connection that the server closes is no error for it. So
// this program keeps the response times one by one and counts requests that were never answered.

import autocannon from 'autocannon'
import { cpuSeconds } from '../process-stats.ts'

export interface AutocannonJob {
  readonly url: string
  /** Paths that each connection requests in turn, in place of that of the URL. */
  readonly paths?: readonly string[]
  /** Requests per second of all connections together; undefined: as fast as the server responds. */
  readonly requestsPerSecond?: number
  readonly connections: number
  readonly durationMs: number
  /** The server's process, to measure its CPU time. */
  readonly serverPid: number | undefined
}

export interface HttpLoadResult {
  /** The measured time, a little longer than that of the job. */
  readonly durationMs: number
  readonly requests: number
  readonly requestsPerSecond: number
  /** From the request to the complete response, without the first of each connection; null if there was no other. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
  /** The slowest first response of a connection, TCP and TLS handshake included. */
  readonly firstResponseMs: number
  /** Connections that were refused, reset or otherwise failed. */
  readonly errors: number
  readonly timeouts: number
  readonly non2xx: number
  /** Requests on connections that the server closed before it responded. */
  readonly unanswered: number
  /** Count per status, and per error. */
  readonly statuses: Readonly<Record<string, number>>
  readonly errorTexts: Readonly<Record<string, number>>
  /** CPU time of the server per request; undefined without its process ID or without responses. */
  readonly serverCpuUs: number | undefined
}

/** How often autocannon checks for the end of its time, and how long it waits for a response. */
const SAMPLE_MS = 50
const TIMEOUT_SECONDS = 10

/** Collects autocannon's events. */
class Responses {
  readonly statuses: Record<string, number> = {}
  readonly errorTexts: Record<string, number> = {}
  readonly #latenciesMs: number[] = []
  readonly #begun = new Set<unknown>()
  firstResponseMs = 0

  add(connection: unknown, status: number, tookMs: number): void {
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    if (this.#begun.has(connection)) {
      this.#latenciesMs.push(tookMs)
      return
    }
    this.#begun.add(connection)
    this.firstResponseMs = Math.max(this.firstResponseMs, tookMs)
  }

  addError(error: NodeJS.ErrnoException): void {
    const text = error.code ?? error.message
    this.errorTexts[text] = (this.errorTexts[text] ?? 0) + 1
  }

  latencyMs(): HttpLoadResult['latencyMs'] {
    const sorted = Float64Array.from(this.#latenciesMs).sort()
    if (sorted.length === 0) return null
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
    return { p50: at(0.5), p99: at(0.99), max: at(1) }
  }
}

/** Requests a page for the time of the job. @throws Error if autocannon cannot start */
async function measurePage(job: AutocannonJob): Promise<HttpLoadResult> {
  const responses = new Responses()
  const cpuBefore = await serverCpuSeconds(job)
  const startMs = performance.now()
  const result = await runAutocannon(job, responses)
  const durationMs = performance.now() - startMs
  const requests = Object.values(responses.statuses).reduce((sum, count) => sum + count, 0)
  const serverSeconds = (await serverCpuSeconds(job)) - cpuBefore
  return {
    durationMs,
    requests,
    requestsPerSecond: (1_000 * requests) / durationMs,
    latencyMs: responses.latencyMs(),
    firstResponseMs: responses.firstResponseMs,
    errors: result.errors - result.timeouts,
    timeouts: result.timeouts,
    non2xx: result.non2xx,
    // When the time is over, each connection waits for one more response at most.
    unanswered: Math.max(0, result.requests.sent - requests - job.connections - result.errors),
    statuses: responses.statuses,
    errorTexts: responses.errorTexts,
    serverCpuUs: job.serverPid === undefined || requests === 0 ? undefined : (1e6 * serverSeconds) / requests,
  }
}

async function runAutocannon(job: AutocannonJob, responses: Responses): Promise<autocannon.Result> {
  const options: autocannon.Options = {
    url: job.url,
    connections: job.connections,
    ...(job.paths === undefined ? {} : { requests: job.paths.map((path) => ({ path })) }),
    ...(job.requestsPerSecond === undefined ? {} : { overallRate: job.requestsPerSecond }),
    duration: job.durationMs / 1_000,
    timeout: TIMEOUT_SECONDS,
    sampleInt: SAMPLE_MS,
  }
  const done = Promise.withResolvers<autocannon.Result>()
  const run = autocannon(options, (error: Error | null, result) => {
    if (error === null) done.resolve(result)
    else done.reject(error)
  })
  run.on('response', (connection, status, _bytes, tookMs) => responses.add(connection, status, tookMs))
  run.on('reqError', (error: NodeJS.ErrnoException) => responses.addError(error))
  return await done.promise
}

/** 0 if the job names no process. */
async function serverCpuSeconds({ serverPid }: AutocannonJob): Promise<number> {
  return serverPid === undefined ? 0 : await cpuSeconds(serverPid)
}

console.log(JSON.stringify(await measurePage(JSON.parse(process.argv[2] ?? '') as AutocannonJob)))

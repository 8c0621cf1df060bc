// Measures pages with autocannon in a process of its own: alone, or while a load of packets runs against the same
// relay. Callers compare and print the results.

import { fileURLToPath } from 'node:url'
import { runOk } from '../../test/support/process.ts'
import type { HttpLoadResult, AutocannonJob } from './autocannon-process.ts'
import { PAGES, type Page, type PageAddresses } from './pages.ts'

/** A page and its result. */
export interface PageResult extends HttpLoadResult {
  readonly page: Page
}

/** The result of a page beside a load. */
export interface LoadedPageResult<Load> extends PageResult {
  /** The result of the load. */
  readonly load: Load
  /** Whether the load ran until the page was measured. If not, the relay was idle for a part of the time. */
  readonly isCovered: boolean
}

export interface PageOptions {
  readonly addresses: PageAddresses
  /** The time for which each page is requested. */
  readonly durationMs: number
  /** The pages to measure; by default all. Pages without an address are left out. */
  readonly pages?: readonly Page[]
  readonly connections?: number
  /** The processor that autocannon is pinned to. */
  readonly cpu?: number
  /** The relay's process, to measure CPU time per request. Not used beside a load, where packets take CPU time too. */
  readonly serverPid?: number
  /** Called with the result of each page. */
  readonly onPage?: (result: PageResult) => void
}

/** How long a load has to last, and the function to call when it has reached its rate. */
export interface LoadWindow {
  /** The time after `isSteady`. A shorter load does not cover the whole measurement. */
  readonly durationMs: number
  readonly isSteady: () => void
}

/** Runs a load of packets and returns its result. */
export type LoadRunner<Load> = (window: LoadWindow) => Promise<Load>

/** As many as clients of a region that check latency at the same time; autocannon keeps them busy on one processor. */
const CONNECTIONS = 64
/** Requests before the measurement, so that code is compiled when it starts. */
const WARM_UP_MS = 500
/** Time to start Node twice and to end autocannon on a busy processor. */
const OVERHEAD_MS = 4_000
/** autocannon ends within the job's time and its own limit for responses. A longer run hangs. */
const HANG_MS = 30_000

/** Measures pages one after another. @throws Error with its output if autocannon fails */
export async function measurePages(options: PageOptions): Promise<PageResult[]> {
  const results: PageResult[] = []
  for (const page of pagesOf(options)) {
    const result = await measurePage(page, options)
    options.onPage?.(result)
    results.push(result)
  }
  return results
}

/**
 * Measures pages beside a load. The load is restarted for each page, so that its loss can be attributed to the page.
 */
export async function measurePagesUnderLoad<Load>(
  options: PageOptions,
  runLoad: LoadRunner<Load>,
): Promise<LoadedPageResult<Load>[]> {
  const results: LoadedPageResult<Load>[] = []
  for (const page of pagesOf(options)) {
    const result = await measureBeside(page, options, runLoad)
    options.onPage?.(result)
    results.push(result)
  }
  return results
}

async function measureBeside<Load>(
  page: Page,
  options: PageOptions,
  runLoad: LoadRunner<Load>,
): Promise<LoadedPageResult<Load>> {
  const steady = Promise.withResolvers<void>()
  let isOver = false
  const durationMs = WARM_UP_MS + options.durationMs + OVERHEAD_MS
  const running = runLoad({ durationMs, isSteady: () => steady.resolve() }).finally(() => (isOver = true))
  // The load may also end or fail without having been steady.
  await Promise.race([steady.promise, running])
  try {
    const { serverPid: _notBesideLoad, ...rest } = options
    const result = await measurePage(page, rest)
    const isCovered = !isOver
    return { ...result, load: await running, isCovered }
  } catch (error) {
    await running.catch(() => undefined)
    throw error
  }
}

async function measurePage(page: Page, options: PageOptions): Promise<PageResult> {
  const job: AutocannonJob = {
    url: `${options.addresses[page.on]}${page.path}`,
    connections: options.connections ?? CONNECTIONS,
    durationMs: options.durationMs,
    serverPid: options.serverPid,
  }
  await runAutocannon({ ...job, durationMs: WARM_UP_MS }, options.cpu)
  return { page, ...(await runAutocannon(job, options.cpu)) }
}

/** Runs a job in a process of its own, on that processor, where the generator comes first. @throws Error with its output if it fails */
export async function runAutocannon(job: AutocannonJob, cpu: number | undefined): Promise<HttpLoadResult> {
  const program = fileURLToPath(new URL('autocannon-process.ts', import.meta.url))
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', program, JSON.stringify(job)]
  const [first = '', ...rest] =
    cpu === undefined ? command : ['chrt', '--idle', '0', 'taskset', '-c', `${cpu}`, ...command]
  return JSON.parse(await runOk(first, rest, { timeoutMs: job.durationMs + HANG_MS })) as HttpLoadResult
}

function pagesOf(options: PageOptions): readonly Page[] {
  return (options.pages ?? PAGES).filter(({ on }) => options.addresses[on] !== undefined)
}

// Measures pages with autocannon, in a process of its own: alone, or while a load of packets runs against the same
// relay. Not a judge and not a printer: callers compare and show.

import { fileURLToPath } from 'node:url'
import { runOk } from '../../test/support/process.ts'
import type { CannonFigures, CannonJob } from './autocannon-process.ts'
import { PAGES, type Page, type PageAddresses } from './pages.ts'

/** A page, and what was measured of it. */
export interface PageFigures extends CannonFigures {
  readonly page: Page
}

/** The same, while a load ran. */
export interface LoadedPageFigures<Load> extends PageFigures {
  /** What the load's runner says of it. */
  readonly load: Load
  /** The load ran until the page had been measured; if not, the figures are partly of an idle relay. */
  readonly isCovered: boolean
}

export interface PageOptions {
  readonly addresses: PageAddresses
  /** How long each page is asked for. */
  readonly durationMs: number
  /** Those of the addresses given; all that there are when undefined. */
  readonly pages?: readonly Page[]
  readonly connections?: number
  /** The processor that autocannon is pinned to, by taskset; undefined leaves it to the system. */
  readonly cpu?: number
  /** The relay's process: its CPU time per request is measured too, where requests are all it has to do. */
  readonly serverPid?: number
  /** Called with each page's figures when they are there. */
  readonly onPage?: (figures: PageFigures) => void
}

/** What a load is told: how long to last, and whom to tell that it has begun in earnest. */
export interface LoadWindow {
  /** From `isSteady` on. A load that ends sooner covers not all of the measurement. */
  readonly durationMs: number
  readonly isSteady: () => void
}

/** Starts a load of packets; resolves when it is over, with what it lost and whatever else it knows. */
export type LoadRunner<Load> = (window: LoadWindow) => Promise<Load>

/** As many as a region's clients that check latency at once; what autocannon keeps busy on one processor. */
const CONNECTIONS = 64
/** Asked first and not counted, so that code is compiled when the clock starts. */
const WARM_UP_MS = 500
/** What starting Node twice and ending autocannon takes beside the measurement, on a busy processor. */
const OVERHEAD_MS = 4_000
/** autocannon ends within its time and its own limit for answers; more is a hang. */
const HANG_MS = 30_000

/** Measures pages one after another. @throws Error when autocannon does not run, with what it printed */
export async function measurePages(options: PageOptions): Promise<PageFigures[]> {
  const figures: PageFigures[] = []
  for (const page of pagesOf(options)) {
    const measured = await measurePage(page, options)
    options.onPage?.(measured)
    figures.push(measured)
  }
  return figures
}

/** The same beside a load, which is started anew for each page so that its loss is that page's. */
export async function measurePagesUnderLoad<Load>(
  options: PageOptions,
  runLoad: LoadRunner<Load>,
): Promise<LoadedPageFigures<Load>[]> {
  const figures: LoadedPageFigures<Load>[] = []
  for (const page of pagesOf(options)) {
    const measured = await measureBeside(page, options, runLoad)
    options.onPage?.(measured)
    figures.push(measured)
  }
  return figures
}

async function measureBeside<Load>(
  page: Page,
  options: PageOptions,
  runLoad: LoadRunner<Load>,
): Promise<LoadedPageFigures<Load>> {
  const steady = Promise.withResolvers<void>()
  let isOver = false
  const durationMs = WARM_UP_MS + options.durationMs + OVERHEAD_MS
  const running = runLoad({ durationMs, isSteady: () => steady.resolve() }).finally(() => (isOver = true))
  // A load that ends or fails without ever being steady must not be waited for.
  await Promise.race([steady.promise, running])
  try {
    const { serverPid: _busyWithPackets, ...rest } = options
    const measured = await measurePage(page, rest)
    const isCovered = !isOver
    return { ...measured, load: await running, isCovered }
  } catch (error) {
    await running.catch(() => undefined)
    throw error
  }
}

async function measurePage(page: Page, options: PageOptions): Promise<PageFigures> {
  const job: CannonJob = {
    url: `${options.addresses[page.on]}${page.path}`,
    connections: options.connections ?? CONNECTIONS,
    durationMs: options.durationMs,
    serverPid: options.serverPid,
  }
  await fire({ ...job, durationMs: WARM_UP_MS }, options.cpu)
  return { page, ...(await fire(job, options.cpu)) }
}

async function fire(job: CannonJob, cpu: number | undefined): Promise<CannonFigures> {
  const program = fileURLToPath(new URL('autocannon-process.ts', import.meta.url))
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', program, JSON.stringify(job)]
  const [first = '', ...rest] = cpu === undefined ? command : ['taskset', '-c', `${cpu}`, ...command]
  return JSON.parse(await runOk(first, rest, { timeoutMs: job.durationMs + HANG_MS })) as CannonFigures
}

function pagesOf(options: PageOptions): readonly Page[] {
  return (options.pages ?? PAGES).filter(({ on }) => options.addresses[on] !== undefined)
}

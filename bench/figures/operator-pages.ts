// Pages for operators and control servers beside packets: 64 connections request the map, the status page, the regions and the
// metrics while the relay carries half of its clean rate. What that costs the packets is the ratio of their delays with and
// without it, in windows that alternate. Pages that this checkout does not have are left out.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitUntil } from '../../test/support/process.ts'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import type { HttpLoadResult } from '../http/autocannon-process.ts'
import { runAutocannon } from '../http/measure-pages.ts'
import { lossOf } from '../load/load.ts'
import type { LoadOutcome } from '../load/outcome.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'
import { p99ByWindow, pooledP99 } from './pooled-delays.ts'

const PATHS = ['/derpmap.json', '/regions', '/status', '/metrics']
const CONNECTIONS = 64
const REQUESTS_PER_SECOND = 500
const WINDOWS = 5
const SECONDS = 6
/** The load has its rate, and autocannon has started, before the window; autocannon ends after it. */
const WARM_SECONDS = 3
const LEAD_MS = 1_000
const AUTOCANNON_SECONDS = SECONDS + WARM_SECONDS
const RATIO_MAX = 1.2
/** The generator sleeps between bursts. Without, it uses its whole processor at this rate, and Linux stops it for 50 ms of each second. */
const TICK_US = 500
const FLEET_REGIONS = 20

interface Window {
  readonly load: LoadOutcome
  readonly pages: HttpLoadResult | undefined
}

/** A regions file of the usual size, in which this relay is the only one that can be reached. */
async function fleetArguments(bench: Bench): Promise<readonly string[]> {
  const regions = Array.from({ length: FLEET_REGIONS }, (_, at) => {
    const host = at === 0 ? 'localhost' : `derp${at}.example.com`
    const node = `{ name: ${900 + at}a, hostname: ${host}, derpport: 1, mesh: 127.0.0.1 }`
    return `  ${900 + at}: { code: r${at}, name: Region ${at}, latitude: ${at}, longitude: ${at}, nodes: [${node}] }\n`
  })
  const path = join(bench.workFolder.path, 'regions.yaml')
  await writeFile(path, `regions:\n${regions.join('')}`)
  return ['-regions-file', path, '-node', '900a', '-mesh-psk-file', bench.workFolder.meshKeyPath]
}

async function pathsOf(admin: string): Promise<readonly string[]> {
  await waitUntil('the admin port answers', async () => (await fetch(`${admin}/livez`)).ok)
  const has = await Promise.all(
    PATHS.map(async (path) => {
      const response = await fetch(`${admin}${path}`, { headers: { connection: 'close' } })
      await response.body?.cancel()
      return response.ok
    }),
  )
  return PATHS.filter((_, at) => has[at])
}

/** @param pages undefined: a window without requests */
async function windowOf(
  bench: Bench,
  server: Server,
  rate: number,
  pages: { readonly paths: readonly string[]; readonly requestsPerSecond?: number } | undefined,
): Promise<Window> {
  // autocannon uses the same processor as the generator.
  const more = { seconds: SECONDS, warmSeconds: WARM_SECONDS, sleeps: true, tickUs: TICK_US }
  const running = bench.runLoad(server, bench.load(rate, 10, more))
  const requested = pages === undefined ? undefined : requestPages(bench, server, pages)
  return { load: await running, pages: await requested }
}

async function requestPages(
  bench: Bench,
  server: Server,
  pages: { readonly paths: readonly string[]; readonly requestsPerSecond?: number },
): Promise<HttpLoadResult> {
  await sleep(LEAD_MS)
  const job = {
    url: `http://127.0.0.1:${server.adminPort ?? 0}/`,
    connections: CONNECTIONS,
    durationMs: 1_000 * AUTOCANNON_SECONDS,
    serverPid: undefined,
    ...pages,
  }
  return await runAutocannon(job, Number(bench.cpuSets.generator))
}

function errorsOf({ pages }: Window): number {
  if (pages === undefined) return 0
  return pages.errors + pages.timeouts + pages.non2xx
}

function loadsOf(windows: readonly Window[]): readonly LoadOutcome[] {
  return windows.map(({ load }) => load)
}

function rowsOf(label: string, beside: readonly Window[], without: readonly Window[]): Row[] {
  const numbers = (read: (pages: HttpLoadResult) => number): number[] =>
    beside.map(({ pages }) => (pages === undefined ? Number.NaN : read(pages)))
  const errors = ownRow({ label: `${label}: errors`, unit: '', digits: 0 }, beside.map(errorsOf))
  return [
    withOwnTarget(errors, '0', (median) => median === 0),
    ownRow(
      { label: '– requests', unit: '1/s', digits: 0 },
      numbers((pages) => pages.requestsPerSecond),
    ),
    ownRow(
      { label: '– p99 of answers', unit: 'ms', digits: 1 },
      numbers((pages) => pages.latencyMs?.p99 ?? NaN),
    ),
    ownRow({ label: '– p99 of packets beside them', unit: 'ms', digits: 2 }, [pooledP99(loadsOf(beside))]),
    ownRow({ label: '– p99 of packets without them', unit: 'ms', digits: 2 }, [pooledP99(loadsOf(without))]),
    ownRow({ label: '– p99 beside them by window', unit: 'ms', digits: 2 }, p99ByWindow(loadsOf(beside))),
    ownRow({ label: '– p99 without them by window', unit: 'ms', digits: 2 }, p99ByWindow(loadsOf(without))),
    ownRow(
      { label: '– packets lost meanwhile', unit: '%', digits: 3 },
      beside.map(({ load }) => 100 * lossOf(load)),
    ),
  ]
}

export const pages: Figure = {
  name: 'pages',
  title: "Operators' pages beside packets",
  isSeparate: true,
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rate = (await knownCleanRate(bench, bench.ours)) / 2
    const more = await fleetArguments(bench)
    return await bench.withFresh(DERPFLEET, { more }, async (server) => {
      const paths = await pathsOf(`http://127.0.0.1:${server.adminPort ?? 0}`)
      const [beside, without]: [Window[], Window[]] = [[], []]
      const fixed = { paths, requestsPerSecond: REQUESTS_PER_SECOND }
      bench.progress.step('pages and packets until code is compiled')
      await windowOf(bench, server, rate, fixed)
      for (let at = 0; at < WINDOWS; at++) {
        bench.progress.step(`window ${at + 1} of ${WINDOWS}`)
        without.push(await windowOf(bench, server, rate, undefined))
        beside.push(await windowOf(bench, server, rate, fixed))
      }
      const ratio = pooledP99(loadsOf(beside)) / pooledP99(loadsOf(without))
      const rows = [
        ...rowsOf(`${REQUESTS_PER_SECOND} requests/s`, beside, without),
        withOwnTarget(
          ownRow({ label: '– divided', unit: '×', digits: 2 }, [ratio]),
          `≤ ${RATIO_MAX}`,
          (median) => median <= RATIO_MAX,
        ),
      ]
      for (const path of paths) {
        bench.progress.step(`${path} as fast as it is answered`)
        rows.push(...rowsOf(path, [await windowOf(bench, server, rate, { paths: [path] })], without))
      }
      return {
        rows,
        notes: [
          `64 connections to the admin port request ${paths.join(', ')} in turn, on the generator's processor, while 10 pairs send ${Math.round(rate)} packets/s: half of ${DERPFLEET}'s clean rate. Then each page alone, as fast as it is answered.`,
          `Delays are pooled over ${WINDOWS} windows of ${SECONDS} s with requests and as many without, in turn.`,
        ],
      }
    })
  },
}

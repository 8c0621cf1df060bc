// The command that measures a relay's pages and prints a Markdown table: starts this checkout's relay on one processor,
// or takes one that runs already, and keeps autocannon on another. Measures alone; beside a load of packets it is
// `measurePagesUnderLoad` that others call.

import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeCertificate } from '../../test/support/certificate.ts'
import { freeTcpPort, startRelay, waitUntil } from '../../test/support/process.ts'
import type { PageAddresses } from './pages.ts'
import { measurePages, type PageFigures } from './measure-pages.ts'
import { pageName, pageTable } from './page-table.ts'

const USAGE = `usage: node bench/http/run.ts [options]
Measures a relay's pages with autocannon and prints a Markdown table.

  --seconds N       how long each page is asked for (default 5)
  --quick           the same as --seconds 1
  --connections N   at once (default 64, which is also all that an admin port takes)
  --relay-cpu N     the processor the relay is pinned to (default 0)
  --client-cpu N    the processor autocannon is pinned to (default 1)
  --derp URL        measure a relay that runs already, at its DERP port: https://localhost:8443
                    (derper answers to its own host name only)
  --admin URL       and at its admin port: http://127.0.0.1:9090
  --pid N           its process, for CPU time per request
  --help            this text
`

const OPTIONS = {
  seconds: { type: 'string', default: '5' },
  quick: { type: 'boolean', default: false },
  connections: { type: 'string', default: '64' },
  'relay-cpu': { type: 'string', default: '0' },
  'client-cpu': { type: 'string', default: '1' },
  derp: { type: 'string' },
  admin: { type: 'string' },
  pid: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

type Flags = ReturnType<typeof readFlags>

/** What is measured, and its end. */
interface Target {
  readonly addresses: PageAddresses
  readonly pid: number | undefined
  stop(): Promise<void>
}

function readFlags() {
  return parseArgs({ options: OPTIONS }).values
}

/** @throws Error naming the option, its value and what was expected */
function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new Error(`--${name} ${text}: expected a number that is not negative`)
  }
  return value
}

/** The relay of this checkout, on a processor of its own, with its admin port open. */
async function startOwn(cpu: number): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), 'derpfleet-http-'))
  await makeCertificate(folder, 'localhost')
  const admin = `127.0.0.1:${await freeTcpPort()}`
  const program = fileURLToPath(new URL('../../bin/derpfleet', import.meta.url))
  const relay = await startRelay({
    command: 'taskset',
    args: ['-c', `${cpu}`, program, 'serve'],
    env: { DERPFLEET_ADMIN: admin },
    folder,
  })
  await waitUntil('the relay is ready', async () => await isReady(admin))
  return {
    addresses: { derp: `https://127.0.0.1:${relay.port}`, admin: `http://${admin}` },
    pid: relay.process.pid,
    stop: async () => {
      await relay.process.stop()
      await rm(folder, { recursive: true })
    },
  }
}

/** Asks on a connection that ends with the answer: one kept open would take a place of the admin port's few. */
async function isReady(admin: string): Promise<boolean> {
  const answer = await fetch(`http://${admin}/readyz`, { headers: { connection: 'close' } })
  await answer.body?.cancel()
  return answer.ok
}

function running(flags: Flags): Target {
  const { derp, admin, pid } = flags
  return {
    addresses: { ...(derp === undefined ? {} : { derp }), ...(admin === undefined ? {} : { admin }) },
    pid: pid === undefined ? undefined : numberOf('pid', pid),
    stop: async () => undefined,
  }
}

async function main(flags: Flags): Promise<void> {
  const isOwn = flags.derp === undefined && flags.admin === undefined
  const options = {
    durationMs: 1_000 * (flags.quick ? 1 : numberOf('seconds', flags.seconds)),
    connections: numberOf('connections', flags.connections),
    cpu: numberOf('client-cpu', flags['client-cpu']),
    onPage: (figures: PageFigures): void => {
      process.stderr.write(`${pageName(figures)}: ${Math.round(figures.requestsPerSecond)} requests/s\n`)
    },
  }
  const target = isOwn ? await startOwn(numberOf('relay-cpu', flags['relay-cpu'])) : running(flags)
  try {
    const { addresses, pid } = target
    const pages = await measurePages({
      ...options,
      addresses,
      ...(pid === undefined ? {} : { serverPid: pid }),
    })
    const machine = `${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}, Node ${process.version}`
    const where = `${isOwn ? `relay on processor ${flags['relay-cpu']}, ` : ''}autocannon on ${options.cpu}`
    console.log(
      `${options.connections} connections, ${options.durationMs / 1_000} s each, ${where}; ${machine}\n`,
    )
    console.log(pageTable(pages))
  } finally {
    await target.stop()
  }
}

const flags = readFlags()
if (flags.help) process.stdout.write(USAGE)
else await main(flags)

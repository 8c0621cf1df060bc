// The command that measures a relay's pages and prints a Markdown table. Starts this checkout's relay on one processor,
// or uses a relay that runs already, and runs autocannon on another processor. Measures without a load of packets; for
// measurements beside a load see figures/http-pages.ts.

import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeCertificate } from '../../test/support/certificate.ts'
import { freePort, startRelay, waitUntil } from '../../test/support/process.ts'
import type { PageAddresses } from './pages.ts'
import { measurePages, type PageResult } from './measure-pages.ts'
import { pageName, pageTable } from './page-table.ts'

const USAGE = `usage: node bench/http/run.ts [options]
Measures a relay's pages with autocannon and prints a Markdown table.

  --seconds N       time per page in seconds (default 5)
  --quick           same as --seconds 1
  --connections N   connections at a time (default 64, the limit of an admin port)
  --relay-cpu N     processor of the relay (default 0)
  --client-cpu N    processor of autocannon (default 1)
  --derp URL        measure a relay that runs already, at its DERP port: https://localhost:8443
                    (derper accepts its own host name only)
  --admin URL       measure a relay that runs already, at its admin port: http://127.0.0.1:9090
  --pid N           process ID of that relay, to measure CPU time per request
  --help            print this text
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

/** The relay that is measured. */
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
    throw new Error(`--${name} ${text}: expected a number of at least 0`)
  }
  return value
}

/** Starts this checkout's relay with an admin port. */
async function startOwn(cpu: number): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), 'derpfleet-http-'))
  await makeCertificate(folder, 'localhost')
  const admin = `127.0.0.1:${await freePort()}`
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

/** Closes its connection after the response: the admin port accepts few connections. */
async function isReady(admin: string): Promise<boolean> {
  const response = await fetch(`http://${admin}/readyz`, { headers: { connection: 'close' } })
  await response.body?.cancel()
  return response.ok
}

function runningRelay(flags: Flags): Target {
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
    onPage: (result: PageResult): void => {
      process.stderr.write(`${pageName(result)}: ${Math.round(result.requestsPerSecond)} requests/s\n`)
    },
  }
  const target = isOwn ? await startOwn(numberOf('relay-cpu', flags['relay-cpu'])) : runningRelay(flags)
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

// Ten thousand clients on one relay at the same time, each logged in over TLS. Each gets a pong for its ping. Two
// processes hold the clients, because one process could not open that many sockets under the usual limit. The memory
// per connection is printed and not checked: that is for benchmarks.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeCertificate } from '../support/certificate.ts'
import { startRelay, type Relay } from '../support/process.ts'

const root = join(import.meta.dirname, '..', '..')
const holders = 2
const loginsEach = 5_000

/** A process that holds logins, and the lines it prints. */
interface Holder {
  readonly child: ChildProcess
  readonly lines: AsyncIterator<string>
}

let folder: string
let relay: Relay
const running: Holder[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'many-logins-'))
  await makeCertificate(folder, 'localhost')
  relay = await startRelay({
    command: join(root, 'bin', 'derpfleet'),
    args: ['serve', '-admin', 'off'],
    folder,
  })
})

afterAll(async () => {
  for (const { child } of running) {
    const ended = once(child, 'exit')
    child.stdin?.end()
    await ended
  }
  await relay[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function hold(): Holder {
  const script = join(root, 'test', 'support', 'login-holder.ts')
  const child = spawn(process.execPath, [script, `${relay.port}`, `${loginsEach}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines: Interface = createInterface({ input: child.stdout })
  return { child, lines: lines[Symbol.asyncIterator]() }
}

async function nextLine(holder: Holder): Promise<{ connected: number; answered?: number }> {
  const { value, done } = await holder.lines.next()
  if (done === true) throw new Error('a process that holds logins ended')
  return JSON.parse(value)
}

async function residentKb(): Promise<number> {
  const status = await readFile(`/proc/${relay.process.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1])
}

it('10,000 clients log in over TLS, stay, and are answered', { timeout: 300_000 }, async () => {
  const before = await residentKb()
  const started = performance.now()
  for (let i = 0; i < holders; i++) running.push(hold())
  const connected = await Promise.all(running.map(nextLine))
  const seconds = (performance.now() - started) / 1_000
  expect(connected).toEqual(Array.from({ length: holders }, () => ({ connected: loginsEach })))
  const after = await residentKb()

  for (const { child } of running) child.stdin?.write('ping\n')
  const pinged = await Promise.all(running.map(nextLine))
  expect(pinged).toEqual(
    Array.from({ length: holders }, () => ({ connected: loginsEach, answered: loginsEach })),
  )

  const perConnection = (after - before) / (holders * loginsEach)
  process.stdout.write(
    `10,000 logins in ${seconds.toFixed(1)} s; resident memory ${(before / 1024).toFixed(0)} MiB before, ` +
      `${(after / 1024).toFixed(0)} MiB with them: ${perConnection.toFixed(1)} KiB per connection\n`,
  )
})

// A relay whose log can't be written relays all the same: the program with an output that fails in each of the ways in
// which the system can fail it.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freeTcpPort } from '../support/process.ts'
import { PROGRAM } from './program.ts'

/** Starting a relay takes a second, on a machine that has nothing else to do. */
const patiently = { timeout: 25_000, interval: 100 }

interface Served {
  readonly child: ChildProcess
  readonly port: number
  /** A number of the metrics page. */
  metric(name: string): Promise<number>
}

/** @param redirection of the shell that starts the program */
async function serve(folder: TemporaryFolder, redirection: string, before = ''): Promise<Served> {
  const [port, adminPort] = [await freeTcpPort(), await freeTcpPort()]
  const line =
    `${before} exec '${PROGRAM}' serve -c '${folder.at('derper.key')}' -a 127.0.0.1:${port} -http-port -1 ` +
    `-stun=false -admin 127.0.0.1:${adminPort} ${redirection}`
  const child = spawn('sh', ['-c', line], { stdio: ['ignore', 'ignore', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const page = async (path: string): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text()
  await expect.poll(async () => await page('/readyz').catch(() => ''), patiently).toBe('ready\n')
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (.*)$`, 'm').exec(await page('/metrics'))?.[1])
  return { child, port, metric }
}

/** Alice sends to bob, over a relay that has had something to log. */
async function expectRelaying(port: number): Promise<void> {
  const target = { host: '127.0.0.1', port, tls: false } as const
  const alice = await DerpClient.connect({ ...target, key: newKeyPair() })
  const bob = await DerpClient.connect({ ...target, key: newKeyPair() })
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, new Uint8Array(10))
  await arrival
  await Promise.all([alice.close(), bob.close()])
}

async function expectGoodEnd({ child }: Served): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
}

test.each(['2>/dev/full', '>/dev/full 2>&1'])(
  '%s: relays, counts what it could not say, and ends well',
  async (to) => {
    using folder = new TemporaryFolder()
    const relay = await serve(folder, to)
    await expectRelaying(relay.port)
    expect(await relay.metric('derp_log_lines_lost_total')).toBeGreaterThanOrEqual(2)
    await expectGoodEnd(relay)
  },
)

test.each(['2>&-', '>&- 2>&- <&-'])('%s: relays without any output', async (to) => {
  using folder = new TemporaryFolder()
  const relay = await serve(folder, to)
  await expectRelaying(relay.port)
  await expectGoodEnd(relay)
})

test('a log file that may not grow any more is no reason to end', async () => {
  using folder = new TemporaryFolder()
  const path = folder.at('log')
  // ulimit counts blocks of 512 bytes.
  const relay = await serve(folder, `2>>'${path}'`, `yes | head -c 500 >'${path}'; ulimit -f 1;`)
  await expectRelaying(relay.port)
  expect(await relay.metric('derp_log_lines_lost_total')).toBeGreaterThanOrEqual(1)
  expect(readFileSync(path).length).toBe(512)
  await expectGoodEnd(relay)
})

test('a pipe that is full and that nobody reads holds up neither the relay nor its end', async () => {
  using folder = new TemporaryFolder()
  const relay = await serve(folder, '', `head -c 65536 /dev/zero >&2;`)
  await expectRelaying(relay.port)
  expect(await relay.metric('derp_log_lines_lost_total')).toBe(0)
  await expectGoodEnd(relay)
})

test('a log reader that has gone is no reason to end', async () => {
  using folder = new TemporaryFolder()
  const relay = await serve(folder, '')
  relay.child.stderr?.destroy()
  await sleep(100)
  // Has it say something.
  relay.child.kill('SIGHUP')
  await expectRelaying(relay.port)
  await expect.poll(async () => await relay.metric('derp_log_lines_lost_total'), patiently).toBe(1)
  await expectGoodEnd(relay)
})

test('a result that could not be written is a failure of every other command', () => {
  const { status, stderr } = spawnSync('sh', ['-c', `'${PROGRAM}' keygen -mesh >/dev/full`], {
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([
    1,
    expect.stringMatching(/^derpfleet: the output could not be written: ENOSPC/),
  ])
})

// A relay keeps relaying when its log cannot be written: the program with outputs that fail in each way that the system
// allows.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

/** Starting a relay takes a second on an idle machine. */
const patiently = { timeout: 25_000, interval: 100 }

interface RunningServe {
  readonly child: ChildProcess
  readonly port: number
  /** A number of the metrics page. */
  metric(name: string): Promise<number>
}

/** @param redirection in the syntax of the shell that starts the program */
async function serve(folder: TemporaryFolder, redirection: string, before = ''): Promise<RunningServe> {
  const [port, adminPort] = [await freePort(), await freePort()]
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

/** Alice sends a packet to bob; the relay has had events to log. */
async function expectRelaying(port: number): Promise<void> {
  const target = { host: '127.0.0.1', port, tls: false } as const
  const alice = await DerpClient.connect({ ...target, key: newKeyPair() })
  const bob = await DerpClient.connect({ ...target, key: newKeyPair() })
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, new Uint8Array(10))
  await arrival
  await Promise.all([alice.close(), bob.close()])
}

async function expectCleanExit({ child }: RunningServe): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
}

test.each(['2>/dev/full', '>/dev/full 2>&1'])(
  '%s: relays, counts the lost lines, and ends with code 0',
  async (to) => {
    using folder = new TemporaryFolder()
    const relay = await serve(folder, to)
    await expectRelaying(relay.port)
    expect(await relay.metric('derp_log_lines_lost_total')).toBeGreaterThanOrEqual(2)
    await expectCleanExit(relay)
  },
)

test.each(['2>&-', '>&- 2>&- <&-'])('%s: relays without any output', async (to) => {
  using folder = new TemporaryFolder()
  const relay = await serve(folder, to)
  await expectRelaying(relay.port)
  await expectCleanExit(relay)
})

test('a log file at its size limit does not end the relay', async () => {
  using folder = new TemporaryFolder()
  const path = folder.at('log')
  // ulimit counts blocks of 512 bytes.
  const relay = await serve(folder, `2>>'${path}'`, `yes | head -c 500 >'${path}'; ulimit -f 1;`)
  await expectRelaying(relay.port)
  expect(await relay.metric('derp_log_lines_lost_total')).toBeGreaterThanOrEqual(1)
  expect(readFileSync(path).length).toBe(512)
  await expectCleanExit(relay)
})

test('a full pipe that is not read delays neither the relay nor its end', async () => {
  using folder = new TemporaryFolder()
  const relay = await serve(folder, '', `head -c 65536 /dev/zero >&2;`)
  await expectRelaying(relay.port)
  expect(await relay.metric('derp_log_lines_lost_total')).toBe(0)
  await expectCleanExit(relay)
})

test('a log reader that has exited does not end the relay', async () => {
  using folder = new TemporaryFolder()
  const relay = await serve(folder, '')
  relay.child.stderr?.destroy()
  await sleep(100)
  // Makes the relay log a line.
  relay.child.kill('SIGHUP')
  await expectRelaying(relay.port)
  await expect.poll(async () => await relay.metric('derp_log_lines_lost_total'), patiently).toBe(1)
  await expectCleanExit(relay)
})

test('for every other command, an output that cannot be written is a failure', () => {
  const { status, stderr } = spawnSync('sh', ['-c', `'${PROGRAM}' keygen -mesh >/dev/full`], {
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([1, expect.stringMatching(/^derpfleet: cannot write the output: ENOSPC/)])
})

// Login storms with a backend that is slow or hangs, over real sockets: the relay in a process of its own, and clients
// that give up after ten seconds and connect again, as Tailscale's do.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, it } from 'vitest'
import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { FREE_PORTS, startDerpfleet } from '../cli/program.ts'
import { VerifyServer } from '../support/verify-server.ts'

const GIVES_UP_MS = 10_000
const SERVING = /"relay_started".*"derp":"\S+?:(\d+)".*"stun":"\S+?:(\d+)".*"admin":"\S+?:(\d+)"/

interface RunningRelay {
  readonly port: number
  readonly stunPort: number
  /** The admission events of the log. */
  readonly lines: () => string[]
  metric(name: string): Promise<number>
  page(path: string): Promise<string>
}

/** What ends with the file: some tests run side by side, and Vitest does not know then which of them has made something. */
const ends: (() => Promise<void>)[] = []
afterAll(async () => void (await Promise.all(ends.map(async (end) => await end()))))

async function serve(verifyUrl: string, ...more: readonly string[]): Promise<RunningRelay> {
  const folder = new TemporaryFolder()
  const args = [
    'serve',
    '-c',
    folder.at('derper.key'),
    ...FREE_PORTS,
    '-verify-client-url',
    verifyUrl,
    ...more,
  ]
  const relay = await startDerpfleet(args, { readyWhen: SERVING })
  ends.push(async () => {
    await relay.stop()
    folder[Symbol.dispose]()
  })
  const [, port, stunPort, adminPort] = (SERVING.exec(relay.output) ?? []).map(Number)
  const page = async (path: string): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text()
  return {
    port: port ?? 0,
    stunPort: stunPort ?? 0,
    lines: () =>
      relay.output.split('\n').filter((line) => /"admission_(backend_down|backend_up|failed)"/.test(line)),
    page,
    metric: async (name) => {
      const line = (await page('/metrics')).split('\n').find((text) => text.startsWith(`${name} `))
      return Number(line?.slice(name.length))
    },
  }
}

const shared = new SharedResources()

/** One attempt of a client; undefined if it fails. */
async function logIn(port: number, key = newKeyPair()): Promise<DerpClient | undefined> {
  const client = new DerpClient({
    host: '127.0.0.1',
    port,
    tls: false,
    key,
    shared,
    connectTimeoutMs: GIVES_UP_MS,
  })
  ends.push(async () => await client.close())
  return await client.connect().then(
    () => client,
    async () => {
      await client.close()
      return undefined
    },
  )
}

/** Logs in again until it succeeds; returns the number of attempts. */
async function logInUntilAdmitted(port: number): Promise<number> {
  const key = newKeyPair()
  for (let attempts = 1; ; attempts++) {
    if ((await logIn(port, key)) !== undefined) return attempts
    await sleep(Math.random() * 200)
  }
}

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

it('500 clients that give up after ten seconds are all admitted within a minute by a backend that takes three seconds', async () => {
  await using backend = await VerifyServer.start()
  backend.delayMs = 3_000
  const relay = await serve(backend.url)
  const startedMs = performance.now()
  await Promise.all(times(500, async () => await logInUntilAdmitted(relay.port)))
  expect(performance.now() - startedMs).toBeLessThan(60_000)
  // 64 at once; the server notices aborted requests a little later than the requests in their place.
  expect(backend.openMax).toBeLessThanOrEqual(2 * 64)
  expect(await relay.metric('derp_clients_current{kind="other"}')).toBe(500)
  expect(await relay.metric('derp_admission_pending{state="waiting"}')).toBe(0)
  expect(relay.lines()).toEqual([])
}, 120_000)

it('1,500 clients that have left do not delay one that waits', async () => {
  await using backend = await VerifyServer.start()
  backend.delayMs = 1_000
  const relay = await serve(backend.url)
  const keys = times(1_500, newKeyPair)
  const leaving = keys.map(async (key) => {
    const client = new DerpClient({ host: '127.0.0.1', port: relay.port, tls: false, key, shared })
    const attempt = client.connect().catch(() => undefined)
    await sleep(2_000)
    await client.close()
    await attempt
  })
  await Promise.all(leaving)
  // They have closed in order, which the relay reads while a client waits.
  await expect
    .poll(async () => await relay.metric('derp_admission_pending{state="waiting"}'), { timeout: 5_000 })
    .toBe(0)
  const startedMs = performance.now()
  expect(await logIn(relay.port)).toBeDefined()
  expect(performance.now() - startedMs).toBeLessThan(GIVES_UP_MS)
}, 60_000)

// Side by side: in both, clients wait for most of the time.
it.concurrent('a backend that hangs, with fail-open: every client is admitted, and the log has one line for outage and recovery each', async ({
  expect,
}) => {
  await using backend = await VerifyServer.start()
  backend.delayMs = undefined
  const relay = await serve(backend.url, '-verify-client-url-fail-open')
  await Promise.all(times(500, async () => await logInUntilAdmitted(relay.port)))
  expect(await relay.metric('derp_admission_total{result="failed_open"}')).toBe(500)
  expect(await relay.metric('derp_admission_total{result="unreachable"}')).toBe(0)
  await expect.poll(relay.lines, { timeout: 20_000 }).toHaveLength(1)
  expect(relay.lines()[0]).toMatch(
    /"level":"warn".*admission_backend_down.*no answer within 5 s.*"clients":"all admitted"/,
  )
  // Every client is admitted, so the relay stays ready.
  expect(await relay.page('/readyz?verbose')).toMatch(
    /ok +admission: backend url down for \d+ s: .*all clients are admitted/,
  )
  backend.delayMs = 0
  await expect.poll(relay.lines, { timeout: 20_000 }).toHaveLength(2)
  expect(relay.lines()[1]).toMatch(/"level":"info".*admission_backend_up.*"outageSeconds":\d+/)
  expect(await relay.metric('derp_admission_backend_up{backend="url"}')).toBe(1)
}, 120_000)

it.concurrent('a backend that hangs: no client is admitted and STUN is silent; all are admitted when it is back', async ({
  expect,
}) => {
  await using backend = await VerifyServer.start()
  backend.delayMs = undefined
  const relay = await serve(backend.url)
  const clients = Promise.all(times(500, async () => await logInUntilAdmitted(relay.port)))
  const stun = async (): Promise<string> =>
    await askStun('127.0.0.1', relay.stunPort, 500).then(
      () => 'answers',
      () => 'silent',
    )
  expect(await stun()).toBe('answers')
  await expect.poll(relay.lines, { timeout: 30_000 }).toHaveLength(1)
  expect(relay.lines()[0]).toMatch(/admission_backend_down.*no answer within 5 s.*"clients":"all refused"/)
  await expect.poll(stun, { timeout: 5_000 }).toBe('silent')
  expect(await relay.page('/readyz')).toMatch(
    /FAIL admission: backend url down for \d+ s: .*no answer within 5 s/,
  )
  expect(await relay.metric('derp_admission_total{result="allowed"}')).toBe(0)
  expect(await relay.metric('derp_admission_total{result="unreachable"}')).toBeGreaterThan(400)
  backend.delayMs = 0
  await clients
  await expect.poll(relay.lines, { timeout: 20_000 }).toHaveLength(2)
  await expect.poll(stun, { timeout: 5_000 }).toBe('answers')
  // STUN's self-check runs every five seconds.
  await expect.poll(async () => await relay.page('/readyz'), { timeout: 10_000 }).toBe('ready\n')
}, 120_000)

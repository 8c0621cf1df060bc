// The effect of each signal on the program, and how the program ends.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort, runProcess, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import { FREE_PORTS, startDerpfleet } from './program.ts'
import { PROGRAM } from '../support/program-path.ts'

// Four of them wait most of the time.
vi.setConfig({ testTimeout: 90_000, maxConcurrency: 7 })

const SERVING = /"event":"relay_started".*"derp":"([^"]+):(\d+)"/
const FAULTY_THREAD = fileURLToPath(new URL('../support/troubled-thread.ts', import.meta.url))

/** util-linux's `script`, which runs a program on a terminal of its own. */
const hasScript = spawnSync('script', ['--version']).status === 0
if (!hasScript) process.stderr.write('SKIPPING a test that needs script: it is not on the PATH\n')

const canHaveNamespace = spawnSync('unshare', ['--fork', '--pid', 'true']).status === 0
if (!canHaveNamespace)
  process.stderr.write('SKIPPING a test that needs a process namespace: root and unshare\n')

/**
 * Whether a terminal's stop signals have an effect on children of this process. The system ignores them in a process
 * group that has no parent in its session (POSIX, "orphaned process group"); a program that runs without a shell is in one.
 */
function canTerminalStop(): boolean {
  const command = 'sleep 5 & kill -TSTP $!; sleep 0.1; grep ^State: /proc/$!/status; kill -KILL $!'
  const can = /^State:\s+T/m.test(String(spawnSync('sh', ['-c', command]).stdout))
  if (!can)
    process.stderr.write('SKIPPING tests of a terminal’s stop signals: this process runs without a shell\n')
  return can
}

function start(folder: TemporaryFolder, ...args: string[]): Promise<RunningProcess> {
  const all = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, ...args]
  const env = { NODE_OPTIONS: `--import ${FAULTY_THREAD}`, TROUBLE_FOLDER: folder.path }
  return startDerpfleet(all, { readyWhen: SERVING, env })
}

async function isServing(relay: RunningProcess): Promise<boolean> {
  const [, host, port] = SERVING.exec(relay.output) ?? []
  const { ok } = await fetch(`http://${host}:${port}/derp/probe`)
  return ok
}

/** Makes a thread fail from now on: hang, spin in a loop, block where it cannot be terminated, or throw. */
async function breakThread(folder: TemporaryFolder, fault: string): Promise<void> {
  const path = folder.at(fault)
  writeFileSync(path, '')
  await waitUntil('the thread has taken the order', () => !existsSync(path))
}

async function hang(folder: TemporaryFolder): Promise<void> {
  await breakThread(folder, 'hang-relay')
}

/** The log's lines with this event. */
function logged(relay: RunningProcess, event: string): Record<string, unknown>[] {
  return relay.output
    .split('\n')
    .filter((line) => line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

// The tests run side by side. These come first, because they wait for twenty or thirty seconds.

test.concurrent('a hung thread is replaced after 20 s; until then the relay is not ready, and logs why', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, '-threads', '2')
  await hang(folder)
  const hangMs = performance.now()
  await waitUntil('the reason is logged', () =>
    logged(relay, 'relay_not_ready').some(({ failing }) =>
      /relay_threads: unresponsive: thread \d for \d+ s/.test(String(failing)),
    ),
  )
  await waitUntil('the thread is replaced', () => logged(relay, 'thread_restarted').length > 0)
  expect(performance.now() - hangMs).toBeGreaterThan(15_000)
  expect(logged(relay, 'thread_died')).toMatchObject([
    { error: { cause: { message: 'no sign of life for 20 s' } } },
  ])
  await waitUntil('the relay is ready again', () => logged(relay, 'relay_ready').length > 1)
  expect(await isServing(relay)).toBe(true)
  expect(await relay.stop()).toEqual({ code: 0, signal: null })
})

test.concurrent('a hung thread that cannot be terminated ends the relay, so that a service manager restarts it', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, '-threads', '2')
  await breakThread(folder, 'block-relay')
  expect(await relay.exited).toEqual({ code: null, signal: 'SIGKILL' })
  expect(logged(relay, 'relay_failed')).toMatchObject([
    { error: { message: expect.stringContaining('relay thread that failed does not end') } },
  ])
})

test.concurrent('a hung STUN thread is replaced, and the relay keeps serving', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  await breakThread(folder, 'hang-stun')
  await waitUntil('the thread is replaced', () => logged(relay, 'stun_restarted').length > 0)
  expect(logged(relay, 'stun_died')).toMatchObject([
    { error: { cause: { message: 'no sign of life for 20 s' } } },
  ])
  expect(logged(relay, 'thread_died')).toEqual([])
  expect(await isServing(relay)).toBe(true)
})

test.concurrent('a process that was paused for 30 s keeps all its threads', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, '-threads', '2')
  relay.signal('SIGSTOP')
  await sleep(30_000)
  relay.signal('SIGCONT')
  await sleep(3_000)
  expect(await isServing(relay)).toBe(true)
  expect(relay.output).not.toMatch(/thread_died|relay_not_ready/)
})

test.concurrent('other signals leave the relay serving, and open no port', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  const signals = [
    'SIGHUP',
    'SIGUSR1',
    'SIGUSR2',
    'SIGPIPE',
    'SIGWINCH',
    'SIGXFSZ',
    'SIGCONT',
    'SIGCHLD',
  ] as const
  for (const signal of signals) {
    relay.signal(signal)
    await sleep(50)
    expect(await isServing(relay), signal).toBe(true)
  }
  expect(relay.output).not.toContain('Debugger')
  expect(await relay.stop()).toEqual({ code: 0, signal: null })
})

test.concurrent('SIGUSR1 opens no debugger without the launcher either', async () => {
  using folder = new TemporaryFolder()
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const args = [main, 'serve', '-c', folder.at('derper.key'), ...FREE_PORTS]
  await using relay = await startProcess(process.execPath, args, { readyWhen: SERVING })
  relay.signal('SIGUSR1')
  await sleep(200)
  expect(await isServing(relay)).toBe(true)
  expect(relay.output).not.toContain('Debugger')
})

const TERMINAL_STOPS = ['SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const

test.concurrent.each(['SIGSTOP', ...(canTerminalStop() ? TERMINAL_STOPS : [])] as const)(
  '%s pauses the relay until SIGCONT',
  async (signal) => {
    using folder = new TemporaryFolder()
    await using relay = await start(folder)
    const state = (): string | undefined =>
      /^State:\s+(\w)/m.exec(readFileSync(`/proc/${relay.pid}/status`, 'utf8'))?.[1]
    relay.signal(signal)
    await waitUntil('the relay is paused', () => state() === 'T')
    relay.signal('SIGCONT')
    expect(await isServing(relay)).toBe(true)
  },
)

test.concurrent('SIGHUP reloads files, and logs which', async () => {
  using folder = new TemporaryFolder()
  const path = folder.at('mesh.key')
  writeFileSync(path, `${'ab'.repeat(32)}\n`)
  await using relay = await start(folder, '-mesh-psk-file', path)
  const results = (): unknown[] => logged(relay, 'relay_reloaded').map(({ files }) => files)
  const reload = async (): Promise<unknown> => {
    const count = results().length
    relay.signal('SIGHUP')
    await waitUntil('the log has the result', () => results().length > count)
    return results().at(-1)
  }
  await reload()
  expect(await reload()).toEqual([{ path, result: 'same' }])
  // The file is also read within two seconds without a signal, and that may be first.
  writeFileSync(path, `${'cd'.repeat(32)}\n`)
  const [answer] = (await reload()) as { result: string }[]
  expect(['new', 'same']).toContain(answer?.result)
  expect(logged(relay, 'mesh_keys_changed')).toHaveLength(1)
})

test.concurrent('SIGUSR2 switches the debug level on and off', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  for (const level of ['debug', 'info']) {
    relay.signal('SIGUSR2')
    await waitUntil(
      'the log has the result',
      () => logged(relay, 'log_level_changed').at(-1)?.level === level,
    )
  }
})

test.concurrent('SIGINT ends sessions with the reason shutdown', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, '-log-level', 'debug')
  const [, host = '', port] = SERVING.exec(relay.output) ?? []
  const clients = await Promise.all(
    Array.from(
      { length: 3 },
      async () => await DerpClient.connect({ host, port: Number(port), tls: false, key: newKeyPair() }),
    ),
  )
  relay.signal('SIGINT')
  expect(await relay.exited).toEqual({ code: 0, signal: null })
  expect(logged(relay, 'session_ended').map(({ reason }) => reason)).toEqual(clients.map(() => 'shutdown'))
})

test.concurrent('SIGQUIT ends the process at once', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  await hang(folder)
  relay.signal('SIGQUIT')
  expect(await relay.exited).toEqual({ code: null, signal: 'SIGQUIT' })
})

test.concurrent.each(['SIGTERM', 'SIGINT'] as const)(
  'a second %s ends the process at once if it does not stop',
  async (signal) => {
    using folder = new TemporaryFolder()
    await using relay = await start(folder)
    await hang(folder)
    relay.signal('SIGTERM')
    await waitUntil('the relay is stopping', () => logged(relay, 'relay_stopping').length > 0)
    await sleep(400)
    expect(relay.exit).toBeUndefined()
    const startMs = performance.now()
    relay.signal(signal)
    expect(await relay.exited).toEqual({ code: null, signal })
    expect(performance.now() - startMs).toBeLessThan(2_000)
  },
)

test.runIf(canHaveNamespace)(
  'a second SIGTERM also ends process 1 of a container',
  { concurrent: true },
  async () => {
    using folder = new TemporaryFolder()
    const args = [
      '--fork',
      '--pid',
      '--kill-child',
      PROGRAM,
      'serve',
      '-c',
      folder.at('derper.key'),
      ...FREE_PORTS,
    ]
    const env = { NODE_OPTIONS: `--import ${FAULTY_THREAD}`, TROUBLE_FOLDER: folder.path }
    await using container = await startProcess('unshare', args, { readyWhen: SERVING, env })
    const pid = Number(readFileSync(`/proc/${container.pid}/task/${container.pid}/children`, 'utf8'))
    await hang(folder)
    process.kill(pid, 'SIGTERM')
    await waitUntil('the relay is stopping', () => logged(container, 'relay_stopping').length > 0)
    await sleep(400)
    process.kill(pid, 'SIGTERM')
    const { code, signal } = await container.exited
    expect([code, signal]).not.toEqual([0, null])
    expect(logged(container, 'relay_stopped')).toEqual([])
  },
)

test.concurrent('ends with 1 when threads die repeatedly, and logs why', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  for (let deaths = 1; deaths <= 6; deaths++) {
    await breakThread(folder, 'fault-relay')
    await waitUntil(
      'the death is logged',
      () => relay.output.split(/"thread_died"|"relay_failed"/).length > deaths,
    )
  }
  expect(await relay.exited).toEqual({ code: 1, signal: null })
  expect(logged(relay, 'relay_failed')).toMatchObject([
    { error: { message: expect.stringContaining('relay threads died 6 times within a minute') } },
  ])
  expect(logged(relay, 'relay_stopped')).toHaveLength(1)
})

test.concurrent('the same signal twice within 300 ms, as npm sends it, counts once', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  await hang(folder)
  relay.signal('SIGINT')
  relay.signal('SIGINT')
  await waitUntil('the relay is stopping', () => logged(relay, 'relay_stopping').length > 0)
  await sleep(400)
  expect(relay.exit).toBeUndefined()
})

test.concurrent('a hung thread delays the stop, but does not prevent it', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, '-threads', '2')
  await breakThread(folder, 'spin-relay')
  expect(await relay.stop()).toEqual({ code: 0, signal: null })
  expect(logged(relay, 'relay_stopped')).toHaveLength(1)
})

test.concurrent('a thread that cannot be terminated ends the process with a failure, after the other parts', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, '-threads', '2')
  await breakThread(folder, 'block-relay')
  expect(await relay.stop()).toEqual({ code: null, signal: 'SIGKILL' })
  expect(relay.output).toMatch(/not all parts ended: a relay thread does not end/)
  expect(logged(relay, 'relay_stopped')).toHaveLength(1)
})

test.runIf(hasScript)(
  'closing its terminal stops the relay',
  { concurrent: true },
  async ({ onTestFinished }) => {
    using folder = new TemporaryFolder()
    const port = await freePort()
    const line = `exec '${PROGRAM}' serve -c '${folder.at('derper.key')}' -a 127.0.0.1:${port} -http-port -1 -stun=false -admin off`
    const terminal = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'ignore' })
    onTestFinished(() => void terminal.kill('SIGKILL'))
    await waitUntil('the relay serves', async () => await accepts(port))
    const gone = once(terminal, 'exit')
    terminal.kill('SIGKILL')
    await gone
    await waitUntil('the relay has ended', async () => !(await accepts(port)))
  },
)

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

test.concurrent('ends with 1 when a port is in use', async ({ onTestFinished }) => {
  using folder = new TemporaryFolder()
  const otherServer = createServer().listen(0, '127.0.0.1')
  await once(otherServer, 'listening')
  onTestFinished(() => void otherServer.close())
  const { port } = otherServer.address() as AddressInfo
  const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, '-a', `127.0.0.1:${port}`]
  const { code } = await runProcess(PROGRAM, args)
  expect(code).toBe(1)
  expect(existsSync(folder.at('derper.key'))).toBe(false)
})

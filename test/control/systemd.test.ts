// The program under a service manager: messages to a notification socket, and inherited sockets, with real programs on the
// other side: systemd-notify, systemd-socket-activate, and small ones in Python for what those cannot do.

import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { FREE_PORTS } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort, runProcess, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

// Each test starts the program once or twice, in half a second, or in ten while other tests keep both cores busy.
vi.setConfig({ testTimeout: 90_000 })

const SUPPORT = join(import.meta.dirname, '..', 'support')
const has = (program: string): boolean => {
  const isFound = spawnSync(program, ['--version']).status === 0
  if (!isFound) process.stderr.write(`SKIPPING tests that need ${program}: it is not on the PATH\n`)
  return isFound
}
const hasPython = has('python3')
const hasNotify = has('systemd-notify')
const hasActivate = has('systemd-socket-activate')

type Message = Readonly<Record<string, string>>

class NotifySocket implements AsyncDisposable {
  readonly path: string
  readonly #process: RunningProcess

  private constructor(path: string, receiver: RunningProcess) {
    this.path = path
    this.#process = receiver
  }

  static async open(path: string): Promise<NotifySocket> {
    const args = [join(SUPPORT, 'notify-socket.py'), path]
    return new NotifySocket(path, await startProcess('python3', args, { readyWhen: /listening/ }))
  }

  get messages(): Message[] {
    return this.received.map(({ message }) => message)
  }

  /** With the process that has sent each. */
  get received(): { readonly pid: number; readonly message: Message }[] {
    const lines = this.#process.output.split('\n').filter((line) => line.includes('"message"'))
    return lines.map((line) => JSON.parse(line) as { pid: number; message: Message })
  }

  /** Waits for a message with that variable, and returns the first one. */
  async message(name: string): Promise<Message> {
    await waitUntil(`${name} was sent`, () => this.messages.some((message) => name in message))
    return this.messages.find((message) => name in message) ?? {}
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop()
  }
}

const STARTED = /"event":"relay_started".*"derp":"[^"]*:(\d+)"/

/** The relay's log line of its start. */
function started(relay: RunningProcess): { derp?: string; stun?: string; admin?: string; threads?: number } {
  const line = relay.output.split('\n').find((text) => STARTED.test(text)) ?? '{}'
  return JSON.parse(line) as ReturnType<typeof started>
}

function portOf(address: string | undefined): number {
  return Number(address?.split(':').at(-1))
}

describe.skipIf(!hasPython)('messages to the service manager', () => {
  it.each([
    ['native', 'abstract name'],
    ['systemd-notify', 'path'],
  ])('by %s, to a socket by its %s: from the start to the stop', async (way, kind) => {
    if (way === 'systemd-notify' && !hasNotify) return
    using folder = new TemporaryFolder()
    const path = kind === 'path' ? folder.at('notify') : `@derpfleet-systemd-test-${process.pid}`
    await using socket = await NotifySocket.open(path)
    const native = way === 'native' ? 'on' : 'off'
    const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS, '-native', native]
    await using relay = await startProcess(PROGRAM, args, {
      env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '30000000' },
      readyWhen: STARTED,
    })
    expect((await socket.message('READY')).STATUS).toBe('serving 0 clients')
    await socket.message('WATCHDOG')
    const uptimeS = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
    relay.signal('SIGHUP')
    const { MONOTONIC_USEC: monotonicUs } = await socket.message('RELOADING')
    expect(Math.abs(Number(monotonicUs) / 1e6 - uptimeS)).toBeLessThan(60)
    await waitUntil(
      'READY was sent again',
      () => socket.messages.filter(({ READY }) => READY === '1').length === 2,
    )
    const alice = await connectTo(portOf(started(relay).derp))
    relay.signal('SIGTERM')
    expect((await socket.message('STOPPING')).STATUS).toBe('draining, 1 client left')
    await socket.message('EXTEND_TIMEOUT_USEC')
    await alice.close()
    expect(await relay.exited).toEqual({ code: 0, signal: null })
    expect(relay.output).not.toContain('systemd_unreachable')
  })

  it('at an upgrade the new run becomes the main process, and the old one is silent from then on', async () => {
    using folder = new TemporaryFolder()
    const path = folder.at('notify')
    await using socket = await NotifySocket.open(path)
    const ports = ['-a', `127.0.0.1:${await freePort()}`, '-stun=false', '-admin', '127.0.0.1:0']
    const args = ['serve', '-c', folder.at('key'), ...ports, '-native', 'on', '-drain-spread', '3s']
    const start = async (env: Record<string, string>): Promise<RunningProcess> =>
      await startProcess(PROGRAM, args, { env: { NOTIFY_SOCKET: path, ...env }, readyWhen: STARTED })
    await using first = await start({ WATCHDOG_USEC: '30000000' })
    await socket.message('READY')
    const alice = await connectTo(portOf(started(first).derp))
    // As a command of the unit starts it: without the variables of the watchdog.
    await using second = await start({})
    expect(await first.exited).toEqual({ code: 0, signal: null })
    await alice.close()
    const { received } = socket
    const at = received.findIndex(({ message }) => 'MAINPID' in message)
    expect(received[at]).toMatchObject({
      pid: second.pid,
      message: { MAINPID: String(second.pid), READY: '1', STATUS: 'serving 0 clients' },
    })
    expect(received.slice(0, at).filter(({ pid }) => pid === second.pid)).toEqual([])
    expect(received.slice(at).filter(({ pid }) => pid === first.pid)).toEqual([])
    expect(socket.messages.some((message) => 'STOPPING' in message)).toBe(false)
    await waitUntil('the second run shows life', () =>
      socket.received.some(({ pid, message }) => pid === second.pid && message['WATCHDOG'] === '1'),
    )
    second.signal('SIGHUP')
    await socket.message('RELOADING')
    second.signal('SIGTERM')
    await socket.message('STOPPING')
    expect(await second.exited).toEqual({ code: 0, signal: null })
  })

  it('nobody there is logged once, and disturbs nothing', async () => {
    using folder = new TemporaryFolder()
    const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS]
    await using relay = await startProcess(PROGRAM, args, {
      env: { NOTIFY_SOCKET: folder.at('nobody'), WATCHDOG_USEC: '1000000' },
      readyWhen: STARTED,
    })
    await waitUntil('the relay is ready', () => relay.output.includes('relay_ready'))
    relay.signal('SIGTERM')
    expect(await relay.exited).toEqual({ code: 0, signal: null })
    expect(relay.output.match(/systemd_unreachable/g)).toHaveLength(1)
  })

  it('programs that the relay starts see none of the variables', async () => {
    using folder = new TemporaryFolder()
    const program = folder.at('systemd-notify')
    writeFileSync(program, `#!/bin/sh\nenv > "${folder.at('environment')}"\n`)
    chmodSync(program, 0o755)
    const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS, '-native', 'off']
    await using relay = await startProcess(PROGRAM, args, {
      env: {
        PATH: `${folder.path}:${process.env.PATH}`,
        NOTIFY_SOCKET: '/run/notify',
        WATCHDOG_USEC: '3000000',
        WATCHDOG_PID: '1',
        LISTEN_PID: '1',
        LISTEN_FDS: '1',
        LISTEN_FDNAMES: 'x',
      },
      readyWhen: STARTED,
    })
    await relay.stop()
    const environment = readFileSync(folder.at('environment'), 'utf8')
    expect(environment).toContain('NOTIFY_SOCKET=/run/notify')
    expect(environment).not.toMatch(/LISTEN_|WATCHDOG_/)
  })
})

async function connectTo(port: number): Promise<DerpClient> {
  const connectTimeoutMs = 60_000
  return await DerpClient.connect({
    host: '127.0.0.1',
    port,
    tls: false,
    key: newKeyPair(),
    connectTimeoutMs,
  })
}

/** Two clients exchange a packet through the relay. */
async function assertServes(port: number): Promise<void> {
  const [alice, bob] = await Promise.all([connectTo(port), connectTo(port)])
  const packet = bob.next('packet')
  alice.send(bob.publicKey, Buffer.from('hello'))
  expect(Buffer.from((await packet).packet).toString()).toBe('hello')
  await Promise.all([alice.close(), bob.close()])
}

async function isRefused(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(false))
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'))
    socket.on('connect', () => socket.destroy())
  })
}

describe.skipIf(!hasPython)('inherited sockets', () => {
  const holder = join(SUPPORT, 'socket-holder.py')
  const ALL = 'derp=tcp:127.0.0.1:0,stun=udp:127.0.0.1:0,admin=tcp:127.0.0.1:0'

  async function hold(
    sockets: string,
    args: readonly string[],
    folder: TemporaryFolder,
    env: NodeJS.ProcessEnv = {},
  ): Promise<RunningProcess> {
    const serve = [PROGRAM, 'serve', '-c', folder.at('key'), ...args]
    return await startProcess('python3', [holder, sockets, ...serve], {
      env,
      readyWhen: STARTED,
    })
  }

  it.each([
    ['several threads share one socket', ALL, ['-native', 'on', '-threads', '3'], 3],
    ['one thread has it without native calls', ALL, ['-native', 'off', '-threads', '3'], 1],
  ])('TCP and UDP: %s', async (_, sockets, more, threads) => {
    using folder = new TemporaryFolder()
    await using relay = await hold(sockets, [...FREE_PORTS, ...more], folder)
    const { derp, stun, admin, threads: running } = started(relay)
    const opened = relay.output.split('\n')[0]?.split(' ').map(Number)
    expect([derp, stun, admin].map(portOf)).toEqual(opened)
    expect(running).toBe(threads)
    await assertServes(portOf(derp))
    await askStun('127.0.0.1', portOf(stun), 3_000)
    const way = more[1] === 'on' ? 'duplicates' : 'one_per_thread'
    const metrics = await (await fetch(`http://127.0.0.1:${portOf(admin)}/metrics`)).text()
    expect(metrics).toContain(`derp_native_info{use="inherited_sockets",way="${way}"} 1\n`)
    // Node warns of descriptors that are closed and were not opened.
    expect(relay.output).not.toContain('runtime_warning')
    expect(await relay.stop()).toEqual({ code: 0, signal: null })
  })

  it('a socket for each thread without native calls', async () => {
    using folder = new TemporaryFolder()
    const port = await freePort()
    const sockets = `derp=reuse-tcp:127.0.0.1:${port},derp=reuse-tcp:127.0.0.1:${port}`
    const args = [
      '-a',
      `127.0.0.1:${port}`,
      '-stun=false',
      '-admin',
      'off',
      '-native',
      'off',
      '-threads',
      '2',
    ]
    await using relay = await hold(sockets, args, folder)
    expect(started(relay).threads).toBe(2)
    await assertServes(port)
    expect(await relay.stop()).toEqual({ code: 0, signal: null })
  })

  it('a thread that dies gets its socket again', async () => {
    using folder = new TemporaryFolder()
    const trouble = `--import ${join(SUPPORT, 'troubled-thread.ts')}`
    const args = [...FREE_PORTS, '-native', 'on', '-threads', '2']
    await using relay = await hold(ALL, args, folder, { NODE_OPTIONS: trouble, TROUBLE_FOLDER: folder.path })
    const { derp, stun } = started(relay)
    for (const [kind, event] of [
      ['relay', 'thread_restarted'],
      ['stun', 'stun_restarted'],
    ] as const) {
      writeFileSync(folder.at(`fault-${kind}`), '')
      await waitUntil(event, () => relay.output.includes(`"event":"${event}"`))
    }
    // Enough connections that each thread has some.
    for (let n = 0; n < 5; n++) await assertServes(portOf(derp))
    await askStun('127.0.0.1', portOf(stun), 20_000)
  })

  it('a relay that drains refuses connections, if nobody else holds the socket', async () => {
    using folder = new TemporaryFolder()
    const args = [...FREE_PORTS, '-native', 'on', '-threads', '2', '-drain-settle', '60s']
    await using relay = await hold(ALL, args, folder)
    const port = portOf(started(relay).derp)
    const alice = await connectTo(port)
    relay.signal('SIGTERM')
    await waitUntil('the drain begins', () => relay.output.includes('relay_draining'))
    await waitUntil('connections are refused', async () => await isRefused(port), 10_000)
    // Alice is still served: it is not the end of the process that refuses.
    expect(await alice.ping()).toBeGreaterThan(0)
    await alice.close()
    relay.signal('SIGINT')
    await relay.exited
  })

  it('sockets that do not fit prevent the start, with a message for each', async () => {
    using folder = new TemporaryFolder()
    const port = await freePort()
    const args = ['-a', `127.0.0.1:${port}`, '-stun=false', '-admin', 'off']
    const sockets = 'derp=tcp:127.0.0.1:0,=udp:127.0.0.1:0'
    const program = [holder, sockets, PROGRAM, 'serve', '-c', folder.at('key'), ...args]
    const { code, stderr } = await runProcess('python3', program)
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /socket 3 \\"derp\\" \(tcp 127\.0\.0\.1:\d+\) is for DERP, but -a says 127\.0\.0\.1:\d+/,
    )
    expect(stderr).toMatch(/socket 4 \(udp 127\.0\.0\.1:\d+\) is for no listener/)
  })

  it('sockets for another process are left alone', async () => {
    using folder = new TemporaryFolder()
    const args = ['serve', '-c', folder.at('key'), ...FREE_PORTS]
    const env = { LISTEN_PID: '1', LISTEN_FDS: '3', LISTEN_FDNAMES: 'derp:stun:admin' }
    await using relay = await startProcess(PROGRAM, args, { env, readyWhen: STARTED })
    expect(relay.output).not.toContain('sockets_inherited')
  })
})

describe.skipIf(!hasActivate)('under systemd-socket-activate', () => {
  it('starts with the first connection, which waits and is served', async () => {
    using folder = new TemporaryFolder()
    const [derp, admin] = [await freePort(), await freePort()]
    const listen = ['-l', `127.0.0.1:${derp}`, '-l', `127.0.0.1:${admin}`, '--fdname=derp:admin']
    const args = ['serve', '-c', folder.at('key'), '-a', `127.0.0.1:${derp}`, '-stun=false', '-threads', '2']
    const program = [PROGRAM, ...args, '-admin', `127.0.0.1:${admin}`]
    await using relay = await startProcess('systemd-socket-activate', [...listen, ...program], {
      readyWhen: /Listening on .*\n.*Listening on /,
    })
    expect(relay.output).not.toContain('relay_started')
    // The relay is started by this connection, half a second before it can accept it.
    await assertServes(derp)
    expect(relay.output).toMatch(/"event":"sockets_inherited","derp":1,"admin":1/)
    await waitUntil('ready', async () => (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok)
  })

  it('answers the STUN request that starts it', async () => {
    using folder = new TemporaryFolder()
    const port = await freePort()
    const args = [
      'serve',
      '-c',
      folder.at('key'),
      '-a',
      '127.0.0.1:0',
      '-stun-port',
      `${port}`,
      '-admin',
      'off',
    ]
    await using relay = await startProcess(
      'systemd-socket-activate',
      ['--datagram', '-l', `127.0.0.1:${port}`, PROGRAM, ...args],
      { readyWhen: /Listening on / },
    )
    await askStun('127.0.0.1', port, 25_000)
    expect(relay.output).toContain('sockets_inherited')
  })
})

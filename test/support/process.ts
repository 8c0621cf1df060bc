// Programs as child processes: started and awaited until they are ready, run to their end, stopped by their process id;
// relays among them, all with derper's command line. Not a supervisor: nothing is restarted. The last part of a child's
// output is kept for error messages. No child outlives this process when this process ends in an orderly way.

import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, Server } from 'node:net'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'

/** Enough to see how a program failed, little enough to keep in memory for a verbose program. */
const outputCharsMax = 256 * 1024

/** A loaded two-core machine starts a Go server in well under a second; a minute is a hang. */
const readyTimeoutMs = 60_000

/** Time between the signal and SIGKILL. */
const stopTimeoutMs = 15_000

/** Each child has a listener for the end of this process. */
process.setMaxListeners(0)

/** How often a condition is checked: short within a test's duration, and no noticeable load. */
const pollIntervalMs = 50

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type StartOptions = {
  /** Added to this process's environment. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Ready once the output matches, or once the function returns true; a throw counts as "not yet". */
  readonly readyWhen?: RegExp | (() => boolean | Promise<boolean>)
}

export type RunOptions = {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly timeoutMs?: number
  /** Its standard input; without it, the program has none. */
  readonly input?: string
}

export type RunResult = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export type RelayOptions = {
  readonly command: string
  /** Precede the flags that every relay is started with: a subcommand, flags of its own. */
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Contains `localhost.crt` and `localhost.key`; the relay's key file is written there, too. */
  readonly folder: string
}

export type Relay = AsyncDisposable & {
  readonly process: RunningProcess
  readonly port: number
  readonly stunPort: number
  /** 64 hex digits. */
  readonly publicKey: string
}

/** A child process. Dispose of it or stop it. */
export class RunningProcess implements AsyncDisposable {
  readonly command: string
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #killOnExit = (): void => void this.#child.kill('SIGKILL')
  #output = ''
  #exit: Exit | undefined

  constructor(command: string, args: readonly string[], options: StartOptions) {
    this.command = [command, ...args].join(' ')
    this.#child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#keep(text))
    }
    process.once('exit', this.#killOnExit)
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        this.#exit = exit
        process.off('exit', this.#killOnExit)
        resolve(exit)
      }
      this.#child.once('error', (error) => {
        this.#keep(`${error.message}\n`)
        if (this.#child.pid === undefined) end({ code: null, signal: null })
      })
      this.#child.once('exit', (code, signal) => end({ code, signal }))
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** How the child ended; undefined while it runs. */
  get exit(): Exit | undefined {
    return this.#exit
  }

  /** The last part of its standard output and standard error, in the order of arrival. */
  get output(): string {
    return this.#output
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Asks the child to end at once, and sends SIGKILL if it does not. A relay of ours takes SIGTERM as a wish to drain. */
  async stop(): Promise<Exit> {
    if (this.#exit === undefined) this.#child.kill(/derpfleet/.test(this.command) ? 'SIGINT' : 'SIGTERM')
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs)
    try {
      return await this.exited
    } finally {
      clearTimeout(killer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-outputCharsMax)
  }
}

/**
 * Starts a program and waits until it is ready.
 *
 * @throws Error with the end of its output if it ends first or is not ready in time; it is stopped then
 */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<RunningProcess> {
  const child = new RunningProcess(command, args, options)
  const { readyWhen } = options
  if (readyWhen === undefined) return child
  const isReady = readyWhen instanceof RegExp ? () => readyWhen.test(child.output) : readyWhen
  try {
    await waitUntil(`${command} is ready`, async () => {
      if (child.exit !== undefined) throw new Ended(`ended with ${describeExit(child.exit)}`)
      return isReady()
    })
  } catch (error) {
    await child.stop()
    throw new Error(`${child.command}: did not become ready; its output ends:\n${tail(child.output)}`, {
      cause: error,
    })
  }
  return child
}

/** Starts a relay for `localhost` on free ports of 127.0.0.1; ready when it completes a TLS handshake. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { command, args = [], env, folder } = options
  const [port, stunPort] = [await freePort(), await freePort()]
  const keyPath = join(folder, 'key.json')
  const pair = generateKeyPairSync('x25519')
  const secret = hex(pair.privateKey.export({ format: 'jwk' }).d)
  const publicKey = hex(pair.publicKey.export({ format: 'jwk' }).x)
  await writeFile(keyPath, JSON.stringify({ PrivateKey: `privkey:${secret}` }), { mode: 0o600 })
  const listen = ['-c', keyPath, '-a', `127.0.0.1:${port}`, '-http-port', '-1', '-stun-port', `${stunPort}`]
  const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder]
  const relay = await startProcess(command, [...args, ...listen, ...identity], {
    // Tests run concurrently, and these tests need no admin port.
    env: { DERPFLEET_ADMIN: 'off', ...env },
    readyWhen: async () => (await tlsVersionAt(port)) !== null,
  })
  return {
    process: relay,
    port,
    stunPort,
    publicKey,
    [Symbol.asyncDispose]: async () => void (await relay.stop()),
  }
}

/** The TLS version that a relay negotiates with a client that supports all. Throws if the relay does not complete TLS. */
export async function tlsVersionAt(port: number): Promise<string | null> {
  const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect')
    return socket.getProtocol()
  } finally {
    socket.destroy()
  }
}

/**
 * Runs a program to its end. At the time limit it is killed together with its children: it leads a process group.
 *
 * @throws Error if it can't be started, and at the time limit, with the end of its output
 */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: true,
  }) as ChildProcessByStdio<Writable | null, Readable, Readable>
  child.stdin?.end(options.input)
  const killGroup = (): void => killProcessGroup(child)
  process.once('exit', killGroup)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  let timedOut = false
  const limit = setTimeout(() => {
    timedOut = true
    killGroup()
  }, options.timeoutMs ?? 60_000)
  try {
    const [code]: (number | null)[] = await once(child, 'close')
    if (timedOut)
      throw new Error(`${command}: time limit; its output ends:\n${tail(output.stdout + output.stderr)}`)
    return { code: code ?? null, ...output }
  } finally {
    clearTimeout(limit)
    process.off('exit', killGroup)
  }
}

/** Like {@link runProcess} for programs that must succeed: returns standard output, and throws for any other exit code. */
export async function runOk(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await runProcess(command, args, options)
  if (code === 0) return stdout
  throw new Error(
    `${[command, ...args].join(' ')}: exit code ${code}; its output ends:\n${tail(stdout + stderr)}`,
  )
}

/**
 * Waits until a condition holds. A condition that throws does not hold yet, unless it throws {@link Ended}.
 *
 * @throws Error that names the condition; its cause is the last error that the condition threw
 */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number = readyTimeoutMs,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let lastError: unknown
  while (performance.now() < deadline) {
    try {
      if (await condition()) return
      lastError = undefined
    } catch (error) {
      if (error instanceof Ended) throw error
      lastError = error
    }
    await sleep(pollIntervalMs)
  }
  throw new Error(`waited ${timeoutMs} ms without success until ${what}`, { cause: lastError })
}

/** Thrown by a condition that can no longer become true. */
export class Ended extends Error {}

/** The last lines of a program's output, for messages. */
export function tail(text: string, linesMax = 30): string {
  return text.trimEnd().split('\n').slice(-linesMax).join('\n')
}

/**
 * The kernel gives ports above to connections and to listeners on port 0. A port of theirs can be taken again before a program
 * binds it.
 */
const PORTS = { first: 10_000, count: 22_000 }
/** Test files that run at the same time have ports of their own: what one has chosen and not bound yet looks free to others. */
const PORT_BLOCKS = 4
const portBlock = Number(process.env['VITEST_POOL_ID'] ?? 0) % PORT_BLOCKS
const givenPorts = new Set<number>()

/**
 * A port of 127.0.0.1 at which nobody listens now, by TCP or UDP, another one at each call. For programs that do not accept
 * port 0, and for ports that stay closed.
 */
export async function freePort(): Promise<number> {
  const count = Math.floor(PORTS.count / PORT_BLOCKS)
  for (;;) {
    const port = PORTS.first + portBlock * count + Math.floor(Math.random() * count)
    if (givenPorts.has(port)) continue
    givenPorts.add(port)
    if ((await isFree(createServer(), port)) && (await isFree(createSocket('udp4'), port))) return port
  }
}

async function isFree(holder: Server | Socket, port: number): Promise<boolean> {
  try {
    if (holder instanceof Server) holder.listen(port, '127.0.0.1')
    else holder.bind(port, '127.0.0.1')
    await once(holder, 'listening')
  } catch {
    return false
  }
  holder.close()
  await once(holder, 'close')
  return true
}

function killProcessGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The whole group has ended already.
  }
}

function describeExit({ code, signal }: Exit): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`
}

function hex(base64Url: string | undefined): string {
  return Buffer.from(base64Url ?? '', 'base64url').toString('hex')
}

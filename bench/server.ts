// A DERP server that is measured: started here with derper's command line on its processor, or started elsewhere and
// known by address and process ID. Knows nothing of loads.

import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { foreign } from '../test/support/foreign.ts'
import { freePort, type RunningProcess, startProcess, tlsVersionAt } from '../test/support/process.ts'
import type { Address } from './load/login-file.ts'
import type { WorkFolder } from './work-folder.ts'

/** Names of this checkout's relay, of the derper that it is compared with, and of one that is still in wide use. */
export const DERPFLEET = 'derpfleet'
/** This checkout's relay with each way of TLS and each kind of poll rounds, whatever its default is. */
const OURS: Readonly<Record<string, readonly string[]>> = {
  [DERPFLEET]: [],
  'derpfleet-openssl': ['-connections', 'openssl'],
  'derpfleet-handles': ['-connections', 'handles'],
  'derpfleet-sockets': ['-connections', 'sockets'],
  'derpfleet-1ms': ['-poll-interval', '1ms'],
  'derpfleet-500us': ['-poll-interval', '500us'],
  'derpfleet-250us': ['-poll-interval', '250us'],
}
export const OUR_NAMES = Object.keys(OURS)
export const DERPER = 'derper-1.104.5'
export const OLD_DERPER = 'derper-1.102.5'

export interface StartOptions {
  /** The processors that it may use, in the format of taskset. */
  readonly cpus: string
  readonly isPlain?: boolean
  /** It has the processor only while nothing else wants it (SCHED_IDLE). */
  readonly isIdle?: boolean
  /** Relay threads; of this checkout's relay only. */
  readonly threads?: number
  readonly mesh?: MeshSettings
  /** The backend that admits clients, of this checkout's relay only; undefined: it is open. */
  readonly verifyUrl?: string | undefined
  /** Further options, of this checkout's relay only. */
  readonly more?: readonly string[]
  /** Instead of this checkout's own: the built package, for instance. */
  readonly program?: string
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Clients that it admits, instead of all; of this checkout's relay only. */
  readonly keysFile?: string
}

/** Settings of one relay of a mesh: see mesh.ts. */
export interface MeshSettings {
  readonly port: number
  readonly keyName: string
  readonly siblingPorts: readonly number[]
}

/** A server, or several, that loads can be run against. */
export interface LoadTarget {
  readonly name: string
  /** After a load the bench waits until these processes are idle. */
  readonly pids: readonly number[]
  /** The generator's arguments that all loads against this target have in common. */
  arguments(logins: number): Promise<string[]>
}

export class Server implements LoadTarget {
  readonly name: string
  readonly address: Address
  /** UDP; undefined if unknown. */
  readonly stunPort: number | undefined
  /** The port of the metrics page; of this checkout's relay only. */
  readonly adminPort: number | undefined
  readonly workFolder: WorkFolder
  readonly #start: (() => Promise<RunningProcess>) | undefined
  #process: RunningProcess | undefined
  readonly #foreignPid: number

  private constructor(parts: {
    readonly name: string
    readonly address: Address
    readonly stunPort?: number
    readonly adminPort?: number
    readonly workFolder: WorkFolder
    readonly pid?: number
    readonly start?: () => Promise<RunningProcess>
  }) {
    this.name = parts.name
    this.address = parts.address
    this.stunPort = parts.stunPort
    this.adminPort = parts.adminPort
    this.workFolder = parts.workFolder
    this.#start = parts.start
    this.#foreignPid = parts.pid ?? 0
  }

  /** Starts derpfleet or a derper of that version. @throws Error if the program is missing or does not start */
  static async start(name: string, workFolder: WorkFolder, options: StartOptions): Promise<Server> {
    const { mesh } = options
    const port = mesh?.port ?? (await freePort())
    const [stunPort, adminPort] = [await freePort(), await freePort()]
    const way = OURS[name]
    const isOurs = way !== undefined
    const command = isOurs
      ? (options.program ?? fileURLToPath(new URL('../bin/derpfleet', import.meta.url)))
      : await derperPath(name)
    const key = await workFolder.keyPath(mesh?.keyName ?? 'key')
    const listen = ['-c', key, '-a', `127.0.0.1:${port}`, '-http-port', '-1', '-stun-port', `${stunPort}`]
    const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', workFolder.path]
    const own = ['-admin', `127.0.0.1:${adminPort}`, '-threads', `${options.threads ?? 1}`]
    const args = [
      ...(isOurs ? ['serve'] : []),
      ...listen,
      ...(options.isPlain === true ? [] : identity),
      ...(isOurs ? [...own, ...way, ...admission(options), ...(options.more ?? [])] : []),
      ...(mesh === undefined ? [] : meshArguments(workFolder, mesh)),
    ]
    const env = {
      // Several at a time have one key; in one folder, the second would take the first for a run that it is to replace.
      ...options.env,
      STATE_DIRECTORY: await workFolder.stateFolder(port),
      // Relays of a mesh verify each other, and the certificate is self-signed.
      ...(mesh === undefined ? {} : { SSL_CERT_FILE: workFolder.certificatePath }),
    }
    const readyWhen =
      options.isPlain === true ? () => isListening(port) : async () => (await tlsVersionAt(port)) !== null
    const idle = options.isIdle === true ? ['chrt', '--idle', '0'] : []
    const [placer = 'taskset', ...placing] = [...idle, 'taskset', '-c', options.cpus, command, ...args]
    const server = new Server({
      name,
      address: { host: '127.0.0.1', port, isPlain: options.isPlain === true },
      stunPort,
      ...(isOurs ? { adminPort } : {}),
      workFolder,
      start: () => startProcess(placer, placing, { readyWhen, env }),
    })
    await server.restart()
    return server
  }

  /** A server that runs already. */
  static known(name: string, address: Address, pid: number, workFolder: WorkFolder): Server {
    return new Server({ name, address, pid, workFolder })
  }

  get pid(): number {
    return this.#process?.pid ?? this.#foreignPid
  }

  get pids(): readonly number[] {
    return [this.pid]
  }

  /** The command line that started it. */
  get command(): string {
    return this.#process?.command ?? `process ${this.#foreignPid}, not started by the bench`
  }

  /** Whether it was started here, so that it can be killed and restarted. */
  get isOwn(): boolean {
    return this.#start !== undefined
  }

  /** Kills it if it runs, and starts it on the same ports. */
  async restart(): Promise<void> {
    if (this.#start === undefined) throw new Error(`${this.name}: not started by the bench`)
    await this.kill()
    this.#process = await this.#start()
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.exited
  }

  /** Stops all its threads, or resumes them. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.signal(signal)
  }

  /** Ends it as a process manager does that restarts it. */
  async terminate(): Promise<void> {
    this.#process?.signal('SIGTERM')
    await this.#process?.exited
  }

  async arguments(logins: number): Promise<string[]> {
    const { host, port, isPlain } = this.address
    const path = await this.workFolder.logins(this.address, logins)
    const common = ['--addr', `${host}:${port}`, '--logins', path, '--pid', `${this.pid}`]
    return isPlain ? [...common, '--plain'] : common
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }
}

function admission({ verifyUrl, keysFile }: StartOptions): string[] {
  if (keysFile !== undefined) return ['-allow-keys-file', keysFile]
  return verifyUrl === undefined ? ['-open-relay'] : ['-verify-client-url', verifyUrl]
}

function meshArguments({ meshKeyPath }: WorkFolder, { siblingPorts }: MeshSettings): string[] {
  const siblings = siblingPorts.map((port) => `localhost:${port}`).join(',')
  return ['-mesh-psk-file', meshKeyPath, '-mesh-with', siblings]
}

async function derperPath(name: string): Promise<string> {
  if (name !== DERPER && name !== OLD_DERPER)
    throw new Error(`${name}: expected ${DERPFLEET}, ${DERPER} or ${OLD_DERPER}`)
  const found = await foreign(name)
  if ('missing' in found) throw new Error(`${name}: ${found.missing}`)
  return found.path
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

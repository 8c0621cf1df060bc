// A DERP server under measurement: started here with derper's command line, pinned to its processor, or somebody
// else's, known by address and process id. Knows nothing of loads.

import { rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { makeCertificate } from '../test/support/certificate.ts'
import { foreign } from '../test/support/foreign.ts'
import {
  freeTcpPort,
  freeUdpPort,
  type RunningProcess,
  startProcess,
  tlsVersionAt,
} from '../test/support/process.ts'
import { type Address, loginFile, serverKeyAt } from './load/login-file.ts'

/** This checkout's relay, and the servers it is compared with. */
export const OURS = 'derpfleet'
export const RIVAL = 'derper-1.104.5'
export const ELDER = 'derper-1.102.5'

/** How a server is started, where it is not as usual. */
export interface StartOptions {
  /** The processors it may use, as taskset names them. */
  readonly cpus: string
  readonly isPlain?: boolean
  /** Relay threads; for this checkout's relay only. */
  readonly threads?: number
  readonly mesh?: MeshPlace
}

/** What one relay of several needs: see mesh.ts. */
export interface MeshPlace {
  readonly port: number
  readonly keyName: string
  readonly siblingPorts: readonly number[]
}

/** What a load can be run against. */
export interface Target {
  readonly name: string
  /** Their rest is waited for after a load. */
  readonly pids: readonly number[]
  /** The generator's arguments that every load against it has. */
  arguments(logins: number): Promise<string[]>
}

/** Folder, key and certificate that all servers of a run share, so that one file of logins serves for all. */
export class Workplace {
  readonly folder: string
  readonly #loginFiles = new Map<string, { path: string; count: number }>()
  readonly #keyPaths = new Map<string, string>()

  readonly #removeOnExit = (): void => rmSync(this.folder, { recursive: true, force: true })

  private constructor(folder: string) {
    this.folder = folder
    process.once('exit', this.#removeOnExit)
  }

  static async make(): Promise<Workplace> {
    const folder = await mkdtemp(join(tmpdir(), 'derpfleet-bench-'))
    await makeCertificate(folder, 'localhost')
    await writeFile(join(folder, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    return new Workplace(folder)
  }

  /** A file with the node key of that name: the same all through, so that logins made for one server serve the next. */
  async keyPath(name: string): Promise<string> {
    const made = this.#keyPaths.get(name)
    if (made !== undefined) return made
    const { d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
    const secret = Buffer.from(d, 'base64url').toString('hex')
    const path = join(this.folder, `${name}.json`)
    await writeFile(path, JSON.stringify({ PrivateKey: `privkey:${secret}` }), { mode: 0o600 })
    this.#keyPaths.set(name, path)
    return path
  }

  /** A file with at least so many logins for the server there. */
  async logins(address: Address, count: number): Promise<string> {
    const key = await serverKeyAt(address)
    const name = Buffer.from(key).toString('hex').slice(0, 16)
    const made = this.#loginFiles.get(name)
    if (made !== undefined && made.count >= count) return made.path
    const path = join(this.folder, `logins-${name}-${count}`)
    await writeFile(path, loginFile(key, count))
    this.#loginFiles.set(name, { path, count })
    return path
  }

  remove(): void {
    process.off('exit', this.#removeOnExit)
    this.#removeOnExit()
  }
}

export class Server implements Target {
  readonly name: string
  readonly address: Address
  /** UDP; undefined where it is not known. */
  readonly stunPort: number | undefined
  /** Metrics of this checkout's relay. */
  readonly adminPort: number | undefined
  readonly workplace: Workplace
  readonly #start: (() => Promise<RunningProcess>) | undefined
  #process: RunningProcess | undefined
  readonly #foreignPid: number

  private constructor(parts: {
    readonly name: string
    readonly address: Address
    readonly stunPort?: number
    readonly adminPort?: number
    readonly workplace: Workplace
    readonly pid?: number
    readonly start?: () => Promise<RunningProcess>
  }) {
    this.name = parts.name
    this.address = parts.address
    this.stunPort = parts.stunPort
    this.adminPort = parts.adminPort
    this.workplace = parts.workplace
    this.#start = parts.start
    this.#foreignPid = parts.pid ?? 0
  }

  /** Starts derpfleet or a derper of that version. @throws Error when it is not on this machine or does not start */
  static async start(name: string, workplace: Workplace, options: StartOptions): Promise<Server> {
    const { mesh } = options
    const port = mesh?.port ?? (await freeTcpPort())
    const [stunPort, adminPort] = [await freeUdpPort(), await freeTcpPort()]
    const isOurs = name === OURS
    const command = isOurs
      ? fileURLToPath(new URL('../bin/derpfleet', import.meta.url))
      : await derperPath(name)
    const key = await workplace.keyPath(mesh?.keyName ?? 'key')
    const listen = ['-c', key, '-a', `127.0.0.1:${port}`, '-http-port', '-1', '-stun-port', `${stunPort}`]
    const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', workplace.folder]
    const own = ['-admin', `127.0.0.1:${adminPort}`, '-threads', `${options.threads ?? 1}`]
    const args = [
      ...(isOurs ? ['serve'] : []),
      ...listen,
      ...(options.isPlain === true ? [] : identity),
      ...(isOurs ? own : []),
      ...(mesh === undefined ? [] : meshArguments(workplace, mesh)),
    ]
    const env = {
      DERPFLEET_OPEN_RELAY: 'true',
      // Servers verify each other, and the certificate is nobody's but its own.
      ...(mesh === undefined ? {} : { SSL_CERT_FILE: join(workplace.folder, 'localhost.crt') }),
    }
    const readyWhen =
      options.isPlain === true ? () => isListening(port) : async () => (await tlsVersionAt(port)) !== null
    const server = new Server({
      name,
      address: { host: '127.0.0.1', port, isPlain: options.isPlain === true },
      stunPort,
      ...(isOurs ? { adminPort } : {}),
      workplace,
      start: () => startProcess('taskset', ['-c', options.cpus, command, ...args], { readyWhen, env }),
    })
    await server.restart()
    return server
  }

  /** One that runs already. */
  static known(name: string, address: Address, pid: number, workplace: Workplace): Server {
    return new Server({ name, address, pid, workplace })
  }

  get pid(): number {
    return this.#process?.pid ?? this.#foreignPid
  }

  get pids(): readonly number[] {
    return [this.pid]
  }

  /** How it was started. */
  get command(): string {
    return this.#process?.command ?? `process ${this.#foreignPid}, started by somebody else`
  }

  /** Started here: can be killed and started again. */
  get isOwn(): boolean {
    return this.#start !== undefined
  }

  /** Kills it if it runs, and starts it on the same ports. */
  async restart(): Promise<void> {
    if (this.#start === undefined) throw new Error(`${this.name}: is not started here`)
    await this.kill()
    this.#process = await this.#start()
  }

  /** As a crash would end it. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.exited
  }

  /** Halts all of it, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.signal(signal)
  }

  async arguments(logins: number): Promise<string[]> {
    const { host, port, isPlain } = this.address
    const path = await this.workplace.logins(this.address, logins)
    const common = ['--addr', `${host}:${port}`, '--logins', path, '--pid', `${this.pid}`]
    return isPlain ? [...common, '--plain'] : common
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }
}

function meshArguments({ folder }: Workplace, { siblingPorts }: MeshPlace): string[] {
  const siblings = siblingPorts.map((port) => `localhost:${port}`).join(',')
  return ['-mesh-psk-file', join(folder, 'psk'), '-mesh-with', siblings]
}

async function derperPath(name: string): Promise<string> {
  if (name !== RIVAL && name !== ELDER) throw new Error(`${name}: expected ${OURS}, ${RIVAL} or ${ELDER}`)
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

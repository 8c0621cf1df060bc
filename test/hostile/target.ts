// The relay that is attacked: the program itself in a process of its own, with two relay threads on one core where the system can
// pin processes. Reports its memory, its descriptors and its metrics. Other tests use LiveRelay.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { DAY_MS, makePair, writePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { FREE_PORTS } from '../cli/program.ts'
import { startProcess, type RunningProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const MIB = 1_048_576
/** The log line of a relay that has started: it has the addresses. */
const STARTED = /^\{.*"event":"relay_started".*\}$/m

/** The relay and its attackers have a core each; otherwise they share all cores. */
export const HAS_CORES =
  availableParallelism() > 1 && spawnSync('taskset', ['-c', '0', 'true'], { stdio: 'ignore' }).status === 0
const RELAY_CORE = '0'
const ATTACKERS_CORE = '1'

const CLOSED = 'derp_sessions_ended_total'

/** The relay's port: TLS as for clients, or plain as for a proxy in front of the relay. */
export type PortKind = 'tls' | 'plain'

export interface TargetOptions {
  readonly portKind?: PortKind
  /** Flags in addition to those of the ports. */
  readonly args?: (folder: TemporaryFolder) => readonly string[]
  /** The relay's limit of descriptors. */
  readonly descriptorsMax?: number
}

/** Pins this process to the attackers' core. */
export function pinToAttackersCore(): void {
  if (HAS_CORES) spawnSync('taskset', ['-a', '-c', '-p', ATTACKERS_CORE, `${process.pid}`])
}

export class Target implements AsyncDisposable {
  readonly portKind: PortKind
  readonly port: number
  readonly stunPort: number
  /** The HTTP port beside TLS; 0 if there is none. */
  readonly httpPort: number
  readonly serverKey: Uint8Array
  readonly process: RunningProcess
  readonly #adminPort: number
  readonly #folder: TemporaryFolder
  #metricsBefore = ''

  private constructor(
    portKind: PortKind,
    serverKey: Uint8Array,
    { process, folder }: { process: RunningProcess; folder: TemporaryFolder },
  ) {
    const started = JSON.parse(STARTED.exec(process.output)?.[0] ?? '{}') as Record<string, string>
    const portOf = (name: string): number => Number(/\d+$/.exec(started[name] ?? '')?.[0] ?? 0)
    this.portKind = portKind
    this.process = process
    this.serverKey = serverKey
    this.port = portOf('derp')
    this.stunPort = portOf('stun')
    this.httpPort = portOf('http')
    this.#adminPort = portOf('admin')
    this.#folder = folder
  }

  static async start({ portKind = 'tls', args, descriptorsMax }: TargetOptions): Promise<Target> {
    const folder = new TemporaryFolder()
    const pair = newKeyPair()
    writeFileSync(folder.at('derper.key'), formatKeyFile(pair), { mode: 0o600 })
    const nowMs = Date.now()
    writePair(folder, 'localhost', makePair(['localhost', '127.0.0.1'], nowMs - DAY_MS, nowMs + 90 * DAY_MS))
    const tls = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder.path]
    const command = [
      ...(HAS_CORES ? ['taskset', '-c', RELAY_CORE] : []),
      ...(descriptorsMax === undefined ? [] : ['prlimit', `--nofile=${descriptorsMax}:${descriptorsMax}`]),
      PROGRAM,
      'serve',
      '-c',
      folder.at('derper.key'),
      '-threads',
      '2',
      ...FREE_PORTS,
      ...(portKind === 'tls' ? tls : []),
      ...(args?.(folder) ?? []),
    ]
    const [first = '', ...rest] = command
    const process = await startProcess(first, rest, { readyWhen: STARTED })
    return new Target(portKind, pair.publicKey, { process, folder })
  }

  get adminPort(): number {
    return this.#adminPort
  }

  /** Resident memory, in MiB. */
  get memoryMiB(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8')
    return (Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024) / MIB
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.#pid}/fd`).length
  }

  /** Processor time that the relay has used. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8')
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
    return (Number(user) + Number(system)) / 100
  }

  async admin(path: string, timeoutMs = 2_000): Promise<{ status: number; text: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.#adminPort}${path}`, {
      signal: AbortSignal.timeout(timeoutMs),
      headers: { connection: 'close' },
    })
    return { status: answer.status, text: await answer.text() }
  }

  /** The sum of a metric over all series whose labels contain `labels`. */
  async count(name: string, labels = ''): Promise<number> {
    return sumOf(await this.#metrics(), name, labels)
  }

  /** Sessions that have ended for a reason since the attack began. */
  async ended(reason: string): Promise<number> {
    const labels = `reason="${reason}"`
    const before = sumOf(this.#metricsBefore, CLOSED, labels)
    return (await this.count(CLOSED, labels)) - before
  }

  /** An attack begins: `ended` counts from now on. */
  async startCounting(): Promise<void> {
    this.#metricsBefore = await this.#metrics()
  }

  async #metrics(): Promise<string> {
    return (await this.admin('/metrics', 10_000)).text
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop()
    this.#folder[Symbol.dispose]()
  }

  get #pid(): number {
    if (this.process.exit !== undefined) throw new Error(`the relay has ended:\n${this.process.output}`)
    return this.process.pid ?? 0
  }
}

function sumOf(metrics: string, name: string, labels: string): number {
  return metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

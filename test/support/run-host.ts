// A relay whose runs are processes on one host: one key, one state folder, the same ports. Each call of `start` is an
// upgrade. The runs share the ports, or inherit the sockets of a program that holds them. On a host of their own where the
// system lets this process make one, with the kernel setting that an upgrade with shared ports needs.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority } from './certificate.ts'
import { canMakeNetworks, FarHost } from './network.ts'
import { freePort, RunningProcess, startProcess, waitUntil } from './process.ts'
import { PROGRAM } from './program-path.ts'

const HOLDER = join(import.meta.dirname, 'socket-holder.py')
const SERVING = /"relay_started"/
/** The machine may be busy with other tests: a start takes a second on a quiet one. */
const START_MS_MAX = 60_000

export interface RunPortNumbers {
  readonly derp: number
  readonly http: number
  readonly stun: number
  readonly admin: number
}

export interface RunHostOptions {
  /** On a host of its own, if that is possible. */
  readonly isApart?: boolean
  /** A program holds the sockets, and each run inherits them. */
  readonly isHeld?: boolean
  /** In a mesh with one sibling, which `startSibling` starts. */
  readonly isMeshed?: boolean
  /** More arguments of every run. */
  readonly args?: readonly string[]
}

/** The other relay of a region, on loopback. */
export class Sibling {
  readonly ports: Pick<RunPortNumbers, 'derp' | 'admin'>
  readonly key = newKeyPair()
  readonly #folder: string
  readonly #otherPort: number

  private constructor(folder: string, ports: Pick<RunPortNumbers, 'derp' | 'admin'>, otherPort: number) {
    this.#folder = folder
    this.ports = ports
    this.#otherPort = otherPort
  }

  /** @param otherPort of the relay with the runs */
  static async make(folder: string, otherPort: number): Promise<Sibling> {
    const ports = { derp: await freePort(), admin: await freePort() }
    const sibling = new Sibling(folder, ports, otherPort)
    await writeFile(join(folder, 'sibling.json'), formatKeyFile(sibling.key), { mode: 0o600 })
    await writeFile(join(folder, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    return sibling
  }

  /** For both relays: each has its own name in the list as well, as in a fleet. */
  get meshArguments(): readonly string[] {
    const siblings = [this.#otherPort, this.ports.derp].map((port) => `localhost:${port}`).join(',')
    const files = [
      '-mesh-psk-file',
      join(this.#folder, 'psk'),
      '-mesh-ca-file',
      join(this.#folder, 'authority.crt'),
    ]
    return ['-mesh-with', siblings, ...files]
  }

  get arguments(): readonly string[] {
    const { derp, admin } = this.ports
    const listen = [
      '-a',
      `127.0.0.1:${derp}`,
      '-http-port',
      '-1',
      '-stun=false',
      '-admin',
      `127.0.0.1:${admin}`,
    ]
    const files = ['-c', join(this.#folder, 'sibling.json'), '-certdir', this.#folder]
    const state = ['-state-dir', join(this.#folder, 'sibling-state')]
    const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-open-relay']
    return ['serve', ...listen, ...files, ...state, ...identity, ...this.meshArguments]
  }

  async metric(series: string): Promise<number | undefined> {
    return await metricAt('127.0.0.1', this.ports.admin, series)
  }

  async drops(): Promise<readonly string[]> {
    return await dropsAt('127.0.0.1', this.ports.admin)
  }
}

/** @param series with all its labels, or with the first ones and no closing brace */
async function metricAt(address: string, port: number, series: string): Promise<number | undefined> {
  const lines = (await metricsPage(address, port)).split('\n')
  const isWhole = !series.includes('{') || series.endsWith('}')
  const line = lines.find((one) => one.startsWith(isWhole ? `${series} ` : series))
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')))
}

async function dropsAt(address: string, port: number): Promise<readonly string[]> {
  const lines = (await metricsPage(address, port)).split('\n')
  return lines.filter((line) => /^derp_dropped_packets_total.* [1-9]\d*$/.test(line))
}

async function metricsPage(address: string, port: number): Promise<string> {
  return await (await fetch(`http://${address}:${port}/metrics`)).text()
}

export class RunHost implements AsyncDisposable {
  readonly address: string
  readonly ports: RunPortNumbers
  readonly folder: string
  /** Its key, as relays name it. */
  readonly key: KeyPair
  readonly isHeld: boolean
  /** Another relay of its region. */
  readonly sibling: Sibling | undefined
  /** The program that each run is started with, for one of another version. */
  program = PROGRAM
  /** Added to the environment of runs that are started from now on. */
  env: NodeJS.ProcessEnv = {}
  readonly #args: readonly string[]
  readonly #network: FarHost | undefined
  readonly #runs: RunningProcess[] = []

  private constructor(
    at: Pick<RunHost, 'folder' | 'key' | 'ports' | 'sibling'>,
    network: FarHost | undefined,
    { isHeld = false, args = [] }: RunHostOptions,
  ) {
    this.folder = at.folder
    this.key = at.key
    this.ports = at.ports
    this.sibling = at.sibling
    this.isHeld = isHeld
    this.#args = args
    this.#network = network
    this.address = network === undefined ? '127.0.0.1' : network.theirAddress
  }

  static async make(options: RunHostOptions = {}): Promise<RunHost> {
    const folder = await mkdtemp(join(tmpdir(), 'run-host-'))
    await issueCertificate(folder, 'localhost', await makeAuthority(folder, 'authority'))
    const key = newKeyPair()
    await writeFile(join(folder, 'key.json'), formatKeyFile(key), { mode: 0o600 })
    const [derp, http, admin] = [await freePort(), await freePort(), await freePort()]
    const network = options.isApart === true && (await canMakeNetworks()) ? await FarHost.make() : undefined
    await network?.run('sysctl', ['-q', '-w', 'net.ipv4.tcp_migrate_req=1'])
    await network?.run('ip', ['link', 'set', 'lo', 'up'])
    const ports = { derp, http, stun: await freePort(), admin }
    const sibling = options.isMeshed === true ? await Sibling.make(folder, derp) : undefined
    const host = new RunHost({ folder, key, ports, sibling }, network, options)
    if (host.isHeld) await host.#hold()
    return host
  }

  /** Starts the program that holds the sockets; they are named, so that the order does not matter. */
  async #hold(): Promise<void> {
    const { derp, http, stun, admin } = this.ports
    const tcp = { derp, http, admin }
    const sockets = Object.entries(tcp).map(([name, port]) => `${name}=tcp:${this.address}:${port}`)
    const args = [HOLDER, [...sockets, `stun=udp:${this.address}:${stun}`].join(','), '--hold', this.#held]
    const [command = '', ...rest] = this.#here(['python3', ...args])
    this.#runs.push(await startProcess(command, rest, { readyWhen: /holding/ }))
  }

  get #held(): string {
    return join(this.folder, 'held.sock')
  }

  /** Starts a run; `started` waits until it serves. */
  launch(...args: string[]): RunningProcess {
    const { derp, http, stun, admin } = this.ports
    const { address, folder } = this
    const listen = ['-a', `${address}:${derp}`, '-http-port', `${http}`, '-stun-port', `${stun}`]
    const files = ['-c', join(folder, 'key.json'), '-certdir', folder, '-state-dir', join(folder, 'state')]
    const identity = [
      '-hostname',
      'localhost',
      '-certmode',
      'manual',
      '-admin',
      `${address}:${admin}`,
      '-open-relay',
    ]
    const relay = [
      this.program,
      'serve',
      ...listen,
      ...files,
      ...identity,
      ...this.#mesh,
      ...this.#args,
      ...args,
    ]
    const all = this.isHeld ? ['python3', HOLDER, '--from', this.#held, ...relay] : relay
    const [command = '', ...rest] = this.#here(all)
    const run = new RunningProcess(command, rest, { env: this.env })
    this.#runs.push(run)
    return run
  }

  get #mesh(): readonly string[] {
    return this.sibling === undefined ? [] : this.sibling.meshArguments
  }

  /** Starts the other relay of the region. */
  async startSibling(): Promise<RunningProcess> {
    const { sibling } = this
    if (sibling === undefined) throw new Error('not meshed')
    const run = await startProcess(PROGRAM, sibling.arguments, { readyWhen: SERVING })
    this.#runs.push(run)
    return run
  }

  #here(command: readonly string[]): readonly string[] {
    return this.#network === undefined ? command : ['ip', ...this.#network.prefix, ...command]
  }

  async start(...args: string[]): Promise<RunningProcess> {
    const run = this.launch(...args)
    await this.started(run)
    return run
  }

  async started(run: RunningProcess): Promise<void> {
    const isDone = (): boolean => SERVING.test(run.output) || run.exit !== undefined
    await waitUntil('the run serves', isDone, START_MS_MAX)
    if (run.exit !== undefined) throw new Error(`the run has ended:\n${run.output}`)
  }

  /** A number of the metrics page, whichever run has the admin port; undefined if there is no such series. */
  async metric(series: string): Promise<number | undefined> {
    return await metricAt(this.address, this.ports.admin, series)
  }

  /** Packets that were dropped in all runs so far, by series; those that are not zero. */
  async drops(): Promise<readonly string[]> {
    return await dropsAt(this.address, this.ports.admin)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs) run.signal('SIGKILL')
    await Promise.all(this.#runs.map(async (run) => await run.exited))
    await this.#network?.[Symbol.asyncDispose]()
    await rm(this.folder, { recursive: true, force: true })
  }
}

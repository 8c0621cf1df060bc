// A relay whose runs are processes on one host: one key, one state folder, the same ports. Each call of `start` is an
// upgrade. The runs share the ports, or inherit the sockets of a program that holds them. On a host of their own where the
// system lets this process make one, with the kernel setting that an upgrade with shared ports needs.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority } from './certificate.ts'
import { canMakeNetworks, FarHost } from './network.ts'
import { freeTcpPort, freeUdpPort, RunningProcess, startProcess, waitUntil } from './process.ts'

const DERPFLEET = join(import.meta.dirname, '../../bin/derpfleet')
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
  /** More arguments of every run. */
  readonly args?: readonly string[]
}

export class RunHost implements AsyncDisposable {
  readonly address: string
  readonly ports: RunPortNumbers
  readonly folder: string
  /** Its key, as relays name it. */
  readonly key: KeyPair
  readonly isHeld: boolean
  /** The program that each run is started with, for one of another version. */
  program = DERPFLEET
  readonly #args: readonly string[]
  readonly #network: FarHost | undefined
  readonly #runs: RunningProcess[] = []

  private constructor(
    at: { readonly folder: string; readonly key: KeyPair; readonly ports: RunPortNumbers },
    network: FarHost | undefined,
    { isHeld = false, args = [] }: RunHostOptions,
  ) {
    this.folder = at.folder
    this.key = at.key
    this.ports = at.ports
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
    const [derp, http, admin] = [await freeTcpPort(), await freeTcpPort(), await freeTcpPort()]
    const network = options.isApart === true && (await canMakeNetworks()) ? await FarHost.make() : undefined
    await network?.run('sysctl', ['-q', '-w', 'net.ipv4.tcp_migrate_req=1'])
    await network?.run('ip', ['link', 'set', 'lo', 'up'])
    const ports = { derp, http, stun: await freeUdpPort(), admin }
    const host = new RunHost({ folder, key, ports }, network, options)
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
    const relay = [this.program, 'serve', ...listen, ...files, ...identity, ...this.#args, ...args]
    const all = this.isHeld ? ['python3', HOLDER, '--from', this.#held, ...relay] : relay
    const [command = '', ...rest] = this.#here(all)
    const run = new RunningProcess(command, rest, {})
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
    const page = await (await fetch(`http://${this.address}:${this.ports.admin}/metrics`)).text()
    const line = page.split('\n').find((one) => one.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length + 1))
  }

  /** Packets that were dropped in all runs so far, by series; those that are not zero. */
  async drops(): Promise<readonly string[]> {
    const page = await (await fetch(`http://${this.address}:${this.ports.admin}/metrics`)).text()
    return page.split('\n').filter((line) => /^derp_dropped_packets_total.* [1-9]\d*$/.test(line))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs) run.signal('SIGKILL')
    await Promise.all(this.#runs.map(async (run) => await run.exited))
    await this.#network?.[Symbol.asyncDispose]()
    await rm(this.folder, { recursive: true, force: true })
  }
}

// A relay whose runs are processes on one host: one key, one state folder, the same ports. Each call of `start` is an
// upgrade. On a host of their own where the system lets this process make one, with the kernel setting that an upgrade needs.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority } from './certificate.ts'
import { canMakeNetworks, FarHost } from './network.ts'
import { freeTcpPort, freeUdpPort, RunningProcess, waitUntil } from './process.ts'

const DERPFLEET = join(import.meta.dirname, '../../bin/derpfleet')
const SERVING = /"relay_started"/
/** The machine may be busy with other tests: a start takes a second on a quiet one. */
const START_MS_MAX = 60_000

export interface RunPortNumbers {
  readonly derp: number
  readonly http: number
  readonly stun: number
  readonly admin: number
}

export class RunHost implements AsyncDisposable {
  readonly address: string
  readonly ports: RunPortNumbers
  readonly folder: string
  readonly #network: FarHost | undefined
  readonly #runs: RunningProcess[] = []

  private constructor(folder: string, ports: RunPortNumbers, network: FarHost | undefined) {
    this.folder = folder
    this.ports = ports
    this.#network = network
    this.address = network === undefined ? '127.0.0.1' : network.theirAddress
  }

  /** @param isApart on a host of its own, if that is possible */
  static async make(isApart = false): Promise<RunHost> {
    const folder = await mkdtemp(join(tmpdir(), 'run-host-'))
    await issueCertificate(folder, 'localhost', await makeAuthority(folder, 'authority'))
    await writeFile(join(folder, 'key.json'), formatKeyFile(newKeyPair()), { mode: 0o600 })
    const [derp, http, admin] = [await freeTcpPort(), await freeTcpPort(), await freeTcpPort()]
    const network = isApart && (await canMakeNetworks()) ? await FarHost.make() : undefined
    await network?.run('sysctl', ['-q', '-w', 'net.ipv4.tcp_migrate_req=1'])
    await network?.run('ip', ['link', 'set', 'lo', 'up'])
    return new RunHost(folder, { derp, http, stun: await freeUdpPort(), admin }, network)
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
    const all = [DERPFLEET, 'serve', ...listen, ...files, ...identity, ...args]
    const [command = '', ...rest] =
      this.#network === undefined ? all : ['ip', ...this.#network.prefix, ...all]
    const run = new RunningProcess(command, rest, {})
    this.#runs.push(run)
    return run
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

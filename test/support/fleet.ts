// Relays of a fleet on hosts of a lab, as an operator starts them: one regions file, one mesh key, certificates of one
// authority. Metrics are read from each relay's admin port.

import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority, type Certificate } from './certificate.ts'
import type { LabHost } from './lab.ts'
import { startProcess, type Exit, type RunningProcess } from './process.ts'
import { PROGRAM } from './program-path.ts'

const ADMIN_PORT = 9_090

/** One relay: where it runs, and its names in the regions file. */
export interface FleetRelay {
  readonly host: LabHost
  readonly hostname: string
  readonly node: string
}

/** A relay that may run on this host, too. */
export interface PlacedRelay extends Omit<FleetRelay, 'host'> {
  readonly host: Pick<LabHost, 'address' | 'command'>
  /** Where it serves; undefined: the usual port of all addresses. */
  readonly at?: string
}

/** The arguments of a fleet's relay; the folder has its key, its certificate, the regions file and the mesh key. */
export function relayArguments(
  folder: string,
  { node, hostname, at, caPath }: { node: string; hostname: string; at: string; caPath: string },
): string[] {
  const file = (name: string): string => join(folder, name)
  const served = ['-c', file(`${node}.json`), '-a', at, '-hostname', hostname, '-node', node]
  const certificates = ['-certmode', 'manual', '-certdir', folder, '-mesh-ca-file', caPath]
  return [...served, ...certificates, '-mesh-psk-file', file('psk'), '-regions-file', file('regions.yaml')]
}

export class Fleet implements AsyncDisposable {
  readonly caPath: string
  readonly ca: string
  readonly folder: string
  readonly #authority: Certificate
  readonly #running = new Map<string, RunningProcess>()

  private constructor(folder: string, authority: Certificate, ca: string) {
    this.folder = folder
    this.#authority = authority
    this.caPath = authority.certPath
    this.ca = ca
  }

  /** @param regions the text of the regions file */
  static async make(regions: string): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), 'fleet-'))
    const authority = await makeAuthority(folder, 'authority')
    await writeFile(join(folder, 'regions.yaml'), regions)
    await writeFile(join(folder, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    return new Fleet(folder, authority, await readFile(authority.certPath, 'utf8'))
  }

  /** Starts a relay, or restarts it with the same key. */
  async start(relay: PlacedRelay, ...more: readonly string[]): Promise<void> {
    await this.startAs(relay, {}, ...more)
  }

  /** The same for another program, or with another environment. */
  async startAs(
    { host, hostname, node, at = ':443' }: PlacedRelay,
    { program = PROGRAM, env = {} }: { readonly program?: string; readonly env?: NodeJS.ProcessEnv },
    ...more: readonly string[]
  ): Promise<void> {
    const keyPath = join(this.folder, `${node}.json`)
    if (!(await exists(keyPath))) {
      await issueCertificate(this.folder, hostname, this.#authority)
      await writeFile(keyPath, formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    const common = relayArguments(this.folder, { node, hostname, at, caPath: this.caPath })
    const own = ['-admin', `${host.address}:${ADMIN_PORT}`, '-open-relay']
    const [command, args] = host.command(program, 'serve', ...common, ...own, ...more)
    this.#running.set(node, await startProcess(command, args, { env, readyWhen: /"event":"relay_started"/ }))
  }

  /** The relay's folder for commands on its host. */
  stateFolder(node: string): string {
    return join(this.folder, `state-${node}`)
  }

  /** Drains the relay and waits for its end. Also returns the numbers of the drain by its log. */
  async drain(
    node: string,
  ): Promise<{ readonly exit: Exit; readonly numbers: Readonly<Record<string, number>> }> {
    const running = this.#running.get(node)
    if (running === undefined) throw new Error(`${node} does not run`)
    running.signal('SIGTERM')
    const exit = await running.exited
    const line = running.output.split('\n').find((one) => one.includes('"event":"relay_drained"')) ?? '{}'
    return { exit, numbers: JSON.parse(line) as Record<string, number> }
  }

  /** Relays read the file again within seconds. */
  async setRegions(regions: string): Promise<void> {
    await writeFile(join(this.folder, 'regions.yaml'), regions)
  }

  async kill(node: string): Promise<void> {
    const running = this.#running.get(node)
    running?.signal('SIGKILL')
    await running?.exited
  }

  /** A number on the relay's metrics page: the sum of all series whose line starts with `series`. */
  async metric(host: LabHost, series: string): Promise<number> {
    const page = await (await fetch(`http://${host.address}:${ADMIN_PORT}/metrics`)).text()
    const values = page.split('\n').filter((line) => line.startsWith(series))
    return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  }

  /** The last part of each relay's output, for messages. */
  get logs(): string {
    return [...this.#running].map(([node, { output }]) => `--- ${node}:\n${output.slice(-2_000)}`).join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map(async (one) => await one.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }
}

async function exists(path: string): Promise<boolean> {
  return await readFile(path).then(
    () => true,
    () => false,
  )
}

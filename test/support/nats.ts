// NATS servers as child processes on loopback. Each is a cluster of its own; gateways connect them, as between regions.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, startProcess, type RunningProcess } from './process.ts'

interface Ports {
  readonly name: string
  readonly client: number
  readonly gateway: number
}

export class NatsServers implements AsyncDisposable {
  readonly #program: string
  readonly #folder: string
  readonly #ports: readonly Ports[]
  /** Further lines of each server's configuration. */
  readonly #more: string
  readonly #running = new Map<string, RunningProcess>()

  private constructor(program: string, folder: string, ports: readonly Ports[], more: string) {
    this.#program = program
    this.#folder = folder
    this.#ports = ports
    this.#more = more
  }

  /** @param options.names names of the servers: letters and digits */
  static async start(
    program: string,
    { folder, names, more = '' }: { folder: string; names: readonly string[]; more?: string },
  ): Promise<NatsServers> {
    const ports: Ports[] = []
    for (const name of names) ports.push({ name, client: await freePort(), gateway: await freePort() })
    const servers = new NatsServers(program, folder, ports, more)
    await Promise.all(names.map(async (name) => await servers.restart(name)))
    return servers
  }

  url(name: string, scheme = 'nats'): string {
    return `${scheme}://127.0.0.1:${this.#portsOf(name).client}`
  }

  pidOf(name: string): number {
    return this.#running.get(name)?.pid ?? 0
  }

  async restart(name: string): Promise<void> {
    const ports = this.#portsOf(name)
    const path = join(this.#folder, `${name}.conf`)
    const gateways = this.#ports.map((one) => `{ name: ${one.name}, url: "nats://127.0.0.1:${one.gateway}" }`)
    const lines = [
      `server_name: ${name}`,
      `listen: "127.0.0.1:${ports.client}"`,
      `gateway { name: ${name}, listen: "127.0.0.1:${ports.gateway}", gateways: [${gateways.join(', ')}] }`,
      this.#more,
    ]
    await writeFile(path, lines.join('\n'))
    const running = await startProcess(this.#program, ['-c', path], { readyWhen: /Server is ready/ })
    this.#running.set(name, running)
  }

  async kill(name: string): Promise<void> {
    const running = this.#running.get(name)
    running?.signal('SIGKILL')
    await running?.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map(async (one) => await one.stop()))
  }

  #portsOf(name: string): Ports {
    const ports = this.#ports.find((one) => one.name === name)
    if (ports === undefined) throw new Error(`no server ${name}`)
    return ports
  }
}

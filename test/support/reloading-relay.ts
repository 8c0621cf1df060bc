// The program as a process whose settings are in a file that a test replaces, with its clients.

import { fileURLToPath } from 'node:url'
import type { ClientEvents } from '#client/client-events.ts'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import type { EventListeners } from '#client/emitter.ts'
import { derpfleet, FREE_PORTS, startDerpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import type { RunningProcess, RunResult } from './process.ts'

const TROUBLED_THREAD = fileURLToPath(new URL('troubled-thread.ts', import.meta.url))

type Line = Record<string, unknown>

export class ReloadingRelay implements AsyncDisposable {
  readonly folder = new TemporaryFolder()
  #process: RunningProcess | undefined = undefined
  readonly #clients: DerpClient[] = []

  static async start(config: string, ...args: string[]): Promise<ReloadingRelay> {
    const relay = new ReloadingRelay()
    relay.write(config)
    const all = ['serve', '-c', relay.folder.at('derper.key'), '-config', relay.folder.at('relay.yaml')]
    relay.#process = await startDerpfleet([...all, ...FREE_PORTS, '-threads', '2', ...args], {
      readyWhen: /"event":"relay_started"/,
      env: relay.env,
    })
    return relay
  }

  get env(): Record<string, string> {
    return {
      STATE_DIRECTORY: this.folder.at('state'),
      TROUBLE_FOLDER: this.folder.path,
      NODE_OPTIONS: `--import ${TROUBLED_THREAD}`,
    }
  }

  get process(): RunningProcess {
    if (this.#process === undefined) throw new Error('not started')
    return this.#process
  }

  write(config: string): void {
    this.folder.write('relay.yaml', config)
  }

  /** Replaces the file and reloads by the command. */
  async reload(config: string): Promise<RunResult> {
    this.write(config)
    return await derpfleet(['reload'], this.env)
  }

  logged(event: string): Line[] {
    return this.process.output
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line) as Line)
  }

  address(listener: string): { host: string; port: number } {
    const [, host = '', port] = new RegExp(`"${listener}":"([^"]+):(\\d+)"`).exec(this.process.output) ?? []
    return { host, port: Number(port) }
  }

  /** A client with a key that the test knows. */
  async client(
    options: Partial<ClientOptions> = {},
    listeners: EventListeners<ClientEvents> = {},
  ): Promise<DerpClient> {
    const to = { ...this.address('derp'), tls: false as const, key: newKeyPair() }
    const client = await DerpClient.connect({ ...to, ...options }, listeners)
    this.#clients.push(client)
    return client
  }

  async isAdmitted(options: Partial<ClientOptions> = {}): Promise<boolean> {
    return await this.client(options).then(
      () => true,
      () => false,
    )
  }

  async get(path: string, listener = 'derp'): Promise<Response> {
    const { host, port } = this.address(listener)
    return await fetch(`http://${host}:${port}${path}`, {
      redirect: 'manual',
      headers: { connection: 'close' },
    })
  }

  async page(path: string): Promise<string> {
    return await (await this.get(path, 'admin')).text()
  }

  async metric(series: string): Promise<number | undefined> {
    const text = await this.page('/metrics')
    const line = text.split('\n').find((each) => each.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length + 1))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => await client.close()))
    await this.#process?.stop()
    this.folder[Symbol.dispose]()
  }
}

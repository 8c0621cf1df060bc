// Key directories of several relays over two real NATS servers, one per region, which a gateway connects.

import { mkdtemp, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyLocation } from '#mesh/key-directory.ts'
import { NatsDirectory, type NatsDirectoryParts } from '#mesh/nats-directory.ts'
import { NatsServers } from './nats.ts'
import { waitUntil } from './process.ts'

export class NatsDirectories implements AsyncDisposable {
  /** The secret that keys are hashed with. */
  readonly secret = randomBytes(32)
  readonly servers: NatsServers
  readonly folder: string
  readonly #open: NatsDirectory[] = []

  private constructor(servers: NatsServers, folder: string) {
    this.servers = servers
    this.folder = folder
  }

  /** Starts servers of the regions EU and US. @param program path of nats-server */
  static async start(program: string): Promise<NatsDirectories> {
    const folder = await mkdtemp(join(tmpdir(), 'nats-'))
    return new NatsDirectories(await NatsServers.start(program, { folder, names: ['EU', 'US'] }), folder)
  }

  /** The directory of a relay, connected to the server of its region. */
  async of(name: string, region: string): Promise<NatsDirectory> {
    const settings = { servers: [this.servers.url(region)], ca: undefined, secret: this.secret }
    return await this.connected(this.opened(name, { settings }))
  }

  opened(
    name: string,
    parts: Pick<NatsDirectoryParts, 'settings'> & Partial<NatsDirectoryParts>,
  ): NatsDirectory {
    const directory = new NatsDirectory({
      credentials: undefined,
      onConnected: () => undefined,
      onState: () => undefined,
      name: () => name,
      ...parts,
    })
    this.#open.push(directory)
    return directory
  }

  async connected(directory: NatsDirectory): Promise<NatsDirectory> {
    await waitUntil('it is connected', () => directory.isConnected)
    return directory
  }

  /** The relay of a key; undefined if there is none or it is unknown. */
  async located(directory: NatsDirectory, key: Uint8Array): Promise<string | undefined> {
    const where = await new Promise<KeyLocation>((resolve) => directory.locate(key, resolve))
    return where.kind === 'at' ? where.relay : undefined
  }

  async isAt(directory: NatsDirectory, key: Uint8Array, relay: string | undefined): Promise<void> {
    await waitUntil(
      `the key is at ${relay}`,
      async () => (await this.located(directory, key)) === relay,
      10_000,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open.map(async (directory) => await directory.close()))
    await this.servers[Symbol.asyncDispose]()
    await rm(this.folder, { recursive: true, force: true })
  }
}

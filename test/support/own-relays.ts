// Relays of this checkout on loopback, each with a folder, a key and a certificate of its own.

import { askStun } from '#client/stun-request.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { OWN_RELAY } from '../probe/probe-program.ts'
import { makeCertificate } from './certificate.ts'
import { startRelay, type Relay } from './process.ts'

export class OwnRelays implements AsyncDisposable {
  readonly #folders: readonly TemporaryFolder[]
  readonly #relays: readonly Relay[]

  private constructor(folders: readonly TemporaryFolder[], relays: readonly Relay[]) {
    this.#folders = folders
    this.#relays = relays
  }

  static async start(count: number): Promise<OwnRelays> {
    const folders = Array.from({ length: count }, () => new TemporaryFolder())
    const relays = await Promise.all(
      folders.map(async ({ path }) => {
        await makeCertificate(path, 'localhost')
        const relay = await startRelay({ ...OWN_RELAY, folder: path })
        // A relay's STUN may begin a moment after its TLS.
        await askStun('127.0.0.1', relay.stunPort, 10_000)
        return relay
      }),
    )
    return new OwnRelays(folders, relays)
  }

  at(index: number): Relay {
    const relay = this.#relays[index]
    if (relay === undefined) throw new Error(`there is no relay ${index}`)
    return relay
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#relays.map(async (relay) => await relay[Symbol.asyncDispose]()))
    for (const folder of this.#folders) folder[Symbol.dispose]()
  }
}

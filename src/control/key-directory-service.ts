// The relay's connection to the key directory (NATS), shared by all relay threads: which client keys are at home here, and
// where other keys are. Runs on the control thread.

import type { NatsSettings } from '#config/settings.ts'
import { problemText } from '#fleet/problem.ts'
import { DirectoryClient, type HomeChange, type LocationUpdate } from '#mesh/directory-client.ts'
import { NatsDirectory, type DirectoryHealth } from '#mesh/nats-directory.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { namelessProblem } from './own-relay.ts'
import type { Service } from './service.ts'

export interface KeyDirectoryServiceParts {
  readonly settings: NatsSettings
  readonly log: Log
  readonly hostname: string
  readonly regionsPath: string | undefined
  /** This relay's present name in the directory; undefined if the regions file does not tell it. */
  readonly name: () => string | undefined
  /** The content of the credentials file as it is now. */
  readonly credentials: () => string
  readonly send: (thread: number, update: LocationUpdate) => void
  readonly broadcast: (update: LocationUpdate) => void
  /** This relay's key. */
  readonly key: Uint8Array
  /** A relay tells its state; the arrays are borrowed. */
  readonly onState: (key: Uint8Array, state: Uint8Array) => void
}

export class KeyDirectoryService implements Service {
  readonly #parts: KeyDirectoryServiceParts
  #directory: NatsDirectory | undefined = undefined
  #client: DirectoryClient | undefined = undefined

  constructor(parts: KeyDirectoryServiceParts) {
    this.#parts = parts
  }

  /** Begins to connect; waits for no server. @throws Error if this relay has no name in the directory */
  start(): void {
    const { settings, log, hostname, regionsPath, name, send, broadcast } = this.#parts
    if (name() === undefined) throw new Error(problemText(namelessProblem(hostname, regionsPath)))
    this.#directory = new NatsDirectory({
      settings,
      credentials:
        settings.credentials === undefined ? undefined : () => Buffer.from(this.#parts.credentials()),
      name: () => name() ?? hostname,
      onState: ({ key, state }) => this.#parts.onState(key, state),
      onConnected: (isConnected, detail) => {
        if (isConnected) log.info(LogEvent.keyDirectoryConnected, { server: detail })
        else log.warn(LogEvent.keyDirectoryDisconnected, { reason: detail })
      },
    })
    this.#client = new DirectoryClient({ directory: this.#directory, send, broadcast })
  }

  get health(): DirectoryHealth | undefined {
    return this.#directory?.health
  }

  get isConnected(): boolean {
    return this.#directory?.isConnected === true
  }

  /** Tells the other relays the state of this one. */
  tellState(state: Uint8Array): void {
    this.#directory?.tellState({ key: this.#parts.key, state })
  }

  /** This relay has another name from now on. */
  renamed(): void {
    this.#directory?.renamed()
  }

  /** Clients of a relay thread made this relay their home, or no longer do. */
  homesChanged(thread: number, changes: readonly HomeChange[]): void {
    this.#client?.homesChanged(thread, changes)
  }

  /** A relay thread asks where a key is; the answer goes to `send`. */
  lookUp(thread: number, key: Uint8Array): void {
    this.#client?.locate(thread, key)
  }

  /** A relay thread has died, and its clients are gone. */
  threadEnded(thread: number): void {
    this.#client?.threadEnded(thread)
  }

  async stop(): Promise<void> {
    this.#client?.close()
    await this.#directory?.close()
  }
}

// A relay that serves, as its starter sees it: where it listens, whether it has failed, and how to reload and stop it. Runs
// on the control thread.

import { endpointText, type Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log, LogFields } from '#ops/log.ts'
import { packageVersion } from '#ops/version.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import type { ReloadService } from './reload-service.ts'
import type { Services } from './service.ts'

export interface RunningRelayParts {
  readonly settings: Settings
  readonly log: Log
  readonly addresses: RelayAddresses
  /** Settles when the relay has failed by itself; never because of `stop`. */
  readonly failed: Promise<Error>
  /** Settles when somebody has asked for a drain, other than by a call of `drain`. */
  readonly drainAsked: Promise<'drain'>
  /** All parts of the relay, started. */
  readonly services: Services
  readonly reload: ReloadService
}

export class RunningRelay implements AsyncDisposable {
  readonly #parts: RunningRelayParts
  /** `stop` was called. */
  readonly #stopped = Promise.withResolvers<readonly unknown[]>()
  #stopping: Promise<void> | undefined = undefined

  constructor(parts: RunningRelayParts) {
    this.#parts = parts
  }

  get addresses(): RelayAddresses {
    return this.#parts.addresses
  }

  /** Settles when the relay has failed by itself; never because of `stop`. */
  get failed(): Promise<Error> {
    return this.#parts.failed
  }

  /** Settles when somebody has asked for a drain, other than by a call of `drain`. */
  get drainAsked(): Promise<'drain'> {
    return this.#parts.drainAsked
  }

  logStart(): void {
    this.#parts.log.info(LogEvent.relayStarted, startFields(this.#parts))
  }

  /** Reads again what can change while the relay serves, and logs the result. */
  async reload(): Promise<void> {
    // A relay that stops has nothing left to change.
    if (this.#stopping !== undefined) return
    await this.#parts.reload.reload()
  }

  /** Switches between debug and the log level of the settings. */
  toggleDebug(): void {
    const { log, reload } = this.#parts
    const level = log.isEnabled('debug') ? reload.live.logLevel : 'debug'
    // The line is written while the log is at the more verbose of the two levels.
    if (level === 'debug') log.setLevel(level)
    log.info(LogEvent.logLevelChanged, { level })
    log.setLevel(level)
  }

  /** Moves all clients away. Resolves when none is left, or when `stop` is called meanwhile; the relay is not stopped. */
  async drain(): Promise<void> {
    const { log, services } = this.#parts
    const errors = await Promise.race([services.drain(), this.#stopped.promise])
    for (const error of errors) log.error(LogEvent.relayFailed, { error })
  }

  /** Stops every part in the reverse order of the start. Rejects if one did not end, after all were tried. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    await this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<void> {
    const { log, services } = this.#parts
    this.#stopped.resolve([])
    log.info(LogEvent.relayStopping)
    try {
      await services.stop()
    } finally {
      log.info(LogEvent.relayStopped)
      log.flush()
    }
  }
}

function startFields({ addresses, settings }: RunningRelayParts): LogFields {
  const { hostname, isTls, nodeKey, threadCount } = settings
  const listeners = Object.entries<Endpoint | undefined>({ ...addresses }).map(([name, at]) => [
    name,
    at && endpointText(at),
  ])
  return {
    version: packageVersion(),
    key: publicKeyText(nodeKey.publicKey),
    hostname,
    tls: isTls,
    ...Object.fromEntries(listeners),
    threads: threadCount,
  }
}

// The verbs that change a running relay, on a socket in its state folder that only its user and root may connect to. The
// admin port stays read-only. Knows no verb itself: parts of the relay register theirs. A relay whose socket cannot be
// bound serves without it. Runs on the control thread.

import { reasonOf } from '#fleet/problem.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Verb } from '#ops/verb.ts'
import { VerbServer } from '#ops/verb-server.ts'
import { ControlSocket } from './control-socket.ts'
import type { Service } from './service.ts'

export class VerbsService implements Service {
  readonly #log: Log
  readonly #socket: ControlSocket
  readonly #server: VerbServer

  /** @param folder the relay's state folder */
  constructor(folder: string, log: Log) {
    this.#log = log
    this.#socket = new ControlSocket(folder)
    this.#server = new VerbServer(log)
  }

  register(verb: Verb): void {
    this.#server.register(verb)
  }

  /** Starts last, so that the socket leads to a relay that serves. */
  async start(): Promise<void> {
    const { server } = this.#server
    try {
      await this.#socket.listen(server)
    } catch (error) {
      this.#log.warn(LogEvent.stateFolderUnusable, { path: this.#socket.path, reason: reasonOf(error) })
    }
    server.on('error', (error) => this.#log.error(LogEvent.verbsFailed, { error }))
  }

  async stop(): Promise<void> {
    this.#socket.remove()
    await this.#server.close()
  }
}

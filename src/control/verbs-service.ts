// The verbs of a running relay on a socket in its state folder that only its user and root may connect to. Who has connected
// is asked of the kernel, for the audit line. Knows no verb itself. A relay whose socket cannot be bound serves without it.
// Runs on the control thread.

import type { Socket } from 'node:net'
import { reasonOf } from '#fleet/problem.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { VerbCalls } from '#ops/verb-calls.ts'
import { VerbServer } from '#ops/verb-server.ts'
import { descriptorOf, type Native } from '#transport/native.ts'
import { ControlSocket } from './control-socket.ts'
import type { Service } from './service.ts'

/** What is certain of whoever has connected, if the kernel cannot be asked: nobody else is permitted to. */
const UNKNOWN_CALLER = 'root or the user of the relay'

export interface VerbsParts {
  /** The relay's state folder. */
  readonly folder: string
  readonly log: Log
  readonly calls: VerbCalls
  /** Undefined where native calls do not work or are not wanted. */
  readonly native: Native | undefined
}

export class VerbsService implements Service {
  readonly #log: Log
  readonly #socket: ControlSocket
  readonly #server: VerbServer

  constructor({ folder, log, calls, native }: VerbsParts) {
    this.#log = log
    this.#socket = new ControlSocket(folder)
    this.#server = new VerbServer(calls, (socket) => callerOf(socket, native))
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

/** The user and the process that have connected, as the kernel noted them at that moment. */
function callerOf(socket: Socket, native: Native | undefined): string {
  const descriptor = descriptorOf(socket)
  const uid = native?.peerUser(descriptor) ?? -1
  const pid = native?.peerProcess(descriptor) ?? -1
  return uid < 0 || pid < 0 ? UNKNOWN_CALLER : `uid=${uid} pid=${pid}`
}

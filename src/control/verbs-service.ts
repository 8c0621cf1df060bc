// The verbs of a running relay on a socket in its state folder that only its user and root may connect to. Who has connected
// is asked of the kernel, for the audit line. Knows no verb itself. A relay whose socket cannot be bound serves without it. A
// socket that something has removed, such as a program that cleans folders up, is made again.
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

/** A command that finds no socket can be repeated a moment later. */
const LOOK_MS = 2_000
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
  readonly #parts: VerbsParts
  readonly #socket: ControlSocket
  #server: VerbServer
  /** The one before, with calls under way. */
  #retired: VerbServer | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #looking: Promise<void> | undefined = undefined

  constructor(parts: VerbsParts) {
    this.#parts = parts
    this.#socket = new ControlSocket(parts.folder)
    this.#server = this.#makeServer()
  }

  /** Starts last, so that the socket leads to a relay that serves. */
  async start(): Promise<void> {
    await this.#listen(this.#server)
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    }, LOOK_MS)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
    this.#socket.remove()
    await this.#server.close()
    this.#retired?.cut()
  }

  #makeServer(): VerbServer {
    const { calls, native } = this.#parts
    return new VerbServer(calls, (socket) => callerOf(socket, native))
  }

  /** Returns whether it listens. */
  async #listen({ server }: VerbServer): Promise<boolean> {
    const { log } = this.#parts
    try {
      await this.#socket.listen(server)
      return true
    } catch (error) {
      log.warn(LogEvent.stateFolderUnusable, { path: this.#socket.path, reason: reasonOf(error) })
      return false
    } finally {
      server.on('error', (error) => log.error(LogEvent.verbsFailed, { error }))
    }
  }

  /** Calls under way are answered over the socket that they came by. */
  async #look(): Promise<void> {
    if (!this.#isMissing()) return
    this.#parts.log.warn(LogEvent.verbsSocketMissing, { path: this.#socket.path })
    this.#retired?.cut()
    this.#retired = this.#server
    this.#retired.retire()
    this.#server = this.#makeServer()
    // One attempt: a folder that takes no socket now is not asked every two seconds.
    if (!(await this.#listen(this.#server))) clearInterval(this.#timer)
  }

  #isMissing(): boolean {
    try {
      return this.#socket.isMissing
    } catch {
      return false
    }
  }
}

/** The user and the process that have connected, as the kernel noted them at that moment. */
function callerOf(socket: Socket, native: Native | undefined): string {
  const descriptor = descriptorOf(socket)
  const uid = native?.peerUser(descriptor) ?? -1
  const pid = native?.peerProcess(descriptor) ?? -1
  return uid < 0 || pid < 0 ? UNKNOWN_CALLER : `uid=${uid} pid=${pid}`
}

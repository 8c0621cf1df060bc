// Messages to the service manager (sd_notify(3)): datagrams to a Unix socket, which Node cannot send. By a native call, or by
// the program systemd-notify, which takes milliseconds and needs NotifyAccess=all in the unit. Nobody answers, and a service
// manager that is not there must not disturb the relay: a failure is logged once. Runs on the control thread.

import { execFile } from 'node:child_process'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { errorText, type Native } from '#transport/native.ts'

/** systemd-notify waits until the service manager has taken the message. */
const PROGRAM_MS_MAX = 5_000

/** Variables of sd_notify(3), such as READY: '1'. */
export type SystemdMessage = Readonly<Record<string, string | number>>

export interface SystemdNotifierParts {
  /** A path, or an abstract name that begins with `@`. */
  readonly socket: string
  readonly native: Native | undefined
  readonly log: Log
}

export class SystemdNotifier {
  readonly #parts: SystemdNotifierParts
  /** What waits until the program has ended: one after the other, since READY must not overtake RELOADING. */
  readonly #waiting: SystemdMessage[] = []
  #running: Promise<void> | undefined = undefined
  #hasFailed = false

  constructor(parts: SystemdNotifierParts) {
    this.#parts = parts
  }

  /** Whether a message costs a process. */
  get isExpensive(): boolean {
    return this.#parts.native === undefined
  }

  send(message: SystemdMessage): void {
    const { native, socket } = this.#parts
    if (native === undefined) return this.#enqueue(message)
    const result = native.sendDatagram(socket, linesOf(message).join('\n'))
    if (result < 0) this.#failed(errorText(result))
  }

  /** Resolves when every message has left. */
  async flushed(): Promise<void> {
    await this.#running
  }

  /** On a busy machine the program may take longer than the time between two messages: those that can be are joined. */
  #enqueue(message: SystemdMessage): void {
    const last = this.#waiting.at(-1)
    if (last === undefined || (isStateChange(last) && isStateChange(message))) this.#waiting.push(message)
    else this.#waiting[this.#waiting.length - 1] = { ...last, ...message }
    this.#running ??= this.#runAll()
  }

  async #runAll(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      await this.#run(linesOf(next))
    }
    this.#running = undefined
  }

  async #run(lines: readonly string[]): Promise<void> {
    const env = { PATH: process.env.PATH, NOTIFY_SOCKET: this.#parts.socket }
    await new Promise<void>((resolve) => {
      execFile('systemd-notify', lines, { env, timeout: PROGRAM_MS_MAX }, (error) => {
        if (error !== null) this.#failed(`systemd-notify: ${error.message.split('\n')[0]}`)
        resolve()
      })
    })
  }

  #failed(reason: string): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#parts.log.warn(LogEvent.systemdUnreachable, { reason })
  }
}

function linesOf(message: SystemdMessage): string[] {
  return Object.entries(message).map(([name, value]) => `${name}=${String(value).replaceAll('\n', ' ')}`)
}

/** Whether the order of this message among others matters. */
function isStateChange(message: SystemdMessage): boolean {
  return 'READY' in message || 'RELOADING' in message || 'STOPPING' in message
}

// A connection between two runs of one relay: one JSON object a line, in both directions, bounded. What the lines mean is
// `run-messages.ts`. Runs on the control thread.
//
// Contract: whatever the other side sends or leaves unread ends this connection at most. Nothing here waits without a limit.

import type { Socket } from 'node:net'
import { isClosing } from '#worker/stream-end.ts'
import { isRecord, LINE_BYTES_MAX } from './run-messages.ts'

/** Written and not read by the other run: it hangs. */
const UNSENT_BYTES_MAX = 4_194_304
/** For the other run to take what was written last; one that runs takes it within milliseconds. */
const CLOSE_MS_MAX = 2_000
const NEWLINE = 0x0a

export interface RunChannelParts {
  onMessage(message: Readonly<Record<string, unknown>>): void
  /** The connection has ended. Called once, and never after `close`. @param why empty: in order */
  onClosed(why: string): void
}

export class RunChannel {
  readonly #socket: Socket
  readonly #parts: RunChannelParts
  #received: Buffer = Buffer.alloc(0)
  #isClosed = false

  constructor(socket: Socket, parts: RunChannelParts) {
    this.#socket = socket
    this.#parts = parts
    socket.on('data', (bytes) => this.#onData(bytes))
    socket.on('end', () => this.#end(''))
    socket.on('error', (error) => this.#end(isClosing(error) ? '' : error.message))
    socket.on('close', () => this.#end(''))
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  send(message: Readonly<Record<string, unknown>>): void {
    if (this.#isClosed) return
    this.#socket.write(`${JSON.stringify(message)}\n`)
    if (this.#socket.writableLength > UNSENT_BYTES_MAX) this.#end('does not read')
  }

  /** Sends what was written, and ends the connection. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await new Promise<void>((resolve) => {
      const limit = setTimeout(() => this.#socket.destroy(), CLOSE_MS_MAX)
      this.#socket.once('close', () => {
        clearTimeout(limit)
        resolve()
      })
      this.#socket.end(() => this.#socket.destroy())
    })
  }

  /** Ends the connection at once. @param why completes "the other run …" */
  break(why: string): void {
    this.#end(why)
  }

  #onData(bytes: Buffer): void {
    if (this.#isClosed) return
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    for (;;) {
      const at = this.#received.indexOf(NEWLINE)
      const lineBytes = at < 0 ? this.#received.length : at
      if (lineBytes > LINE_BYTES_MAX) return this.#end('sends a line that is too long')
      if (at < 0) return
      const line = this.#received.toString('utf8', 0, at)
      this.#received = this.#received.subarray(at + 1)
      const message = parse(line)
      if (message === undefined) return this.#end('sends a line that is no message')
      this.#parts.onMessage(message)
      if (this.#isClosed) return
    }
  }

  #end(why: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.destroy()
    this.#parts.onClosed(why)
  }
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const message: unknown = JSON.parse(line)
    return isRecord(message) ? message : undefined
  } catch {
    return undefined
  }
}

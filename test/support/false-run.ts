// A process that pretends to be a run of a relay, at either end of run.sock and of the bridge's socket. It says whatever a test
// wants; what it is told is kept.

import { createServer, connect, type Server, type Socket } from 'node:net'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { waitUntil } from './process.ts'

const HELLO = Buffer.from('DFRUNS\x001', 'latin1')

type Message = Readonly<Record<string, unknown>>

/** One connection, from either side. */
export class FalseRun implements Disposable {
  readonly socket: Socket
  isClosed = false
  #text = ''

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => (this.#text += bytes.toString()))
    socket.on('error', () => undefined)
    socket.on('close', () => (this.isClosed = true))
  }

  /** Pretends to be a later run. */
  static connect(folder: string, name = 'run.sock'): FalseRun {
    return new FalseRun(connect(join(folder, 'state', name)))
  }

  /** Pretends to be the run that serves. */
  static listen(folder: string, name: string, onConnection: (run: FalseRun) => void): Server {
    mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 })
    const server = createServer((socket) => onConnection(new FalseRun(socket)))
    return server.listen(join(folder, 'state', name))
  }

  say(message: unknown): void {
    this.socket.write(`${JSON.stringify(message)}\n`)
  }

  /** Says hello to a bridge, with the token of the run that listens. */
  hello(token: string): void {
    this.socket.write(Buffer.concat([HELLO, Buffer.from(token, 'hex')]))
  }

  heard(kind: string): Message | undefined {
    const lines = this.#text.split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as Message).findLast((message) => message['kind'] === kind)
  }

  async hears(kind: string): Promise<Message> {
    await waitUntil(`the other run says ${kind}`, () => this.heard(kind) !== undefined)
    return this.heard(kind) as Message
  }

  async closed(): Promise<void> {
    await waitUntil('the other run closes the connection', () => this.isClosed)
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

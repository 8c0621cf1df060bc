// The entry of the bridge thread: connects to the other run's bridge over a Unix socket in the state folder, or waits for its
// connection, and lets `interthread/run-bridge.ts` carry frames over it. A thread of its own, so that neither packets
// within this run nor scrapes wait for packets to the other run.

import { timingSafeEqual } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { RunBridge } from '#interthread/run-bridge.ts'
import { Counters } from '#relay/counters.ts'
import { later, now } from './clock.ts'
import { isClosing } from './stream-end.ts'
import type { FromRunBridge, RunBridgeData, ToRunBridge, WorkerStateMessage } from './thread-messages.ts'

/** Precedes the token: what follows are the frames of this format. */
const MAGIC = Buffer.from('DFRUNS\x001', 'latin1')
/** For what the threads have written last, at the end; the other run reads it within milliseconds. */
const FLUSH_MS_MAX = 1_000
const FLUSH_LOOK_MS = 5
/** The other run says hello as soon as it is connected. */
const HELLO_MS_MAX = 5_000
/** Connections that have said nothing yet. One is expected. */
const SILENT_MAX = 8

class RunBridgeThread {
  readonly #port: MessagePort
  readonly #data: RunBridgeData
  readonly #hello: Buffer
  #socket: Socket | undefined = undefined
  #bridge: RunBridge | undefined = undefined
  /** Why the bridge has ended. */
  #why: string | undefined = undefined

  constructor(data: RunBridgeData, port: MessagePort) {
    this.#port = port
    this.#data = data
    this.#hello = Buffer.concat([MAGIC, Buffer.from(data.token, 'hex')])
    port.on('message', (message: ToRunBridge) => {
      if (message.kind === 'stop') void this.#stop()
    })
    if (data.way === 'connect') this.#connect()
    else this.#listen()
  }

  #connect(): void {
    const socket = connect(this.#data.path)
    socket.once('connect', () => {
      socket.write(this.#hello)
      this.#send({ kind: 'listening', port: 0 })
      this.#serve(socket, undefined)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => this.#onListenError(error))
  }

  /** One connection is served, of the process that knows the token. */
  #listen(): void {
    const silent = new Set<Socket>()
    const server = createServer((socket) => {
      silent.add(socket)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => silent.delete(socket))
      socket.setTimeout(HELLO_MS_MAX, () => socket.destroy())
      socket.once('data', (bytes) => {
        socket.pause()
        if (this.#socket !== undefined || !this.#isHello(bytes)) return void socket.destroy()
        silent.delete(socket)
        socket.setTimeout(0)
        close()
        this.#serve(socket, bytes.subarray(this.#hello.length))
      })
      const [oldest] = silent
      if (silent.size > SILENT_MAX) oldest?.destroy()
    })
    const close = (): void => {
      server.close()
      for (const socket of silent) socket.destroy()
    }
    server.on('error', (error: NodeJS.ErrnoException) => this.#onListenError(error))
    server.listen(this.#data.path, () => this.#send({ kind: 'listening', port: 0 }))
    this.#port.on('close', close)
  }

  /** The other side sends it in one write of forty bytes, which a Unix socket never cuts. */
  #isHello(bytes: Buffer): boolean {
    const hello = this.#hello
    return bytes.length >= hello.length && timingSafeEqual(bytes.subarray(0, hello.length), hello)
  }

  #serve(socket: Socket, first: Buffer | undefined): void {
    const bridge = new RunBridge({
      memory: this.#data.memory,
      counters: new Counters(this.#data.counters),
      stream: {
        write: (bytes, taken) => void socket.write(bytes, () => taken()),
        pause: () => void socket.pause(),
        resume: () => void socket.resume(),
      },
      now,
      later,
      onBroken: (why) => this.#end(why),
    })
    this.#socket = socket
    this.#bridge = bridge
    socket.on('data', (bytes) => bridge.receive(bytes))
    socket.on('end', () => this.#end(''))
    socket.on('error', (error) => this.#end(isClosing(error) ? '' : error.message))
    socket.on('close', () => this.#end('has closed the connection'))
    if (first !== undefined && first.length > 0) bridge.receive(first)
    socket.resume()
    void bridge.readWhenWoken()
    this.#send({ kind: 'bridgeUp' })
  }

  /** @param why empty: the other run has ended the connection in order */
  #end(why: string): void {
    if (this.#why !== undefined) return
    this.#why = why
    this.#bridge?.end()
    this.#socket?.destroy()
    this.#send({ kind: 'bridgeDown', why })
  }

  /** Sends what the threads have written so far, and ends. */
  async #stop(): Promise<void> {
    const [bridge, socket] = [this.#bridge, this.#socket]
    const untilMs = now() + FLUSH_MS_MAX
    while (bridge !== undefined && this.#why === undefined && !bridge.isFlushed && now() < untilMs) {
      bridge.pump()
      await new Promise<void>((resolve) => later(FLUSH_LOOK_MS, resolve))
    }
    if (socket !== undefined && this.#why === undefined) {
      this.#why = ''
      bridge?.end()
      await new Promise<void>((resolve) => {
        later(FLUSH_MS_MAX, resolve)
        socket.end(resolve)
      })
    }
    this.#send({ kind: 'stopped' })
    this.#port.close()
  }

  #onListenError({ code = '', message }: NodeJS.ErrnoException): void {
    if (this.#socket === undefined) this.#send({ kind: 'listenFailed', code, message })
  }

  #send(message: FromRunBridge | WorkerStateMessage): void {
    this.#port.postMessage(message)
  }
}

if (parentPort === null) throw new Error('run-bridge-thread.ts is the entry of a worker thread')
void new RunBridgeThread(workerData as RunBridgeData, parentPort)

// A fake DERP server for one test: real sockets, TLS and login, then the bytes that the test writes. Shows the client's
// bytes and frames. Routes nothing, and speaks no WebSocket.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { BoxSecret, type BoxKey } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, FrameAction } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import {
  openClientInfo,
  readClientKey,
  serverInfoFrame,
  serverKeyFrame,
  type ClientInfo,
} from '#protocol/handshake.ts'
import { httpHeadEnd, parseHttpHead } from '#protocol/http-head.ts'
import { metaCertificate } from '#protocol/meta-certificate.ts'
import { switchingProtocols, requestedProtocol } from '#protocol/upgrade.ts'
import { newKeyPair } from '#client/derp-client.ts'
import type { Certificate } from '../support/certificate.ts'

export interface FakeServerOptions {
  /** For TLS; undefined for plaintext. */
  readonly certificate?: Certificate
  /** Certificates presented behind it. */
  readonly chain?: readonly Certificate[]
  readonly hasMetaCertificate?: boolean
  /** Answers the request instead of the server, with any bytes or none. */
  readonly onRequest?: (session: FakeServerSession) => void
  /** Called when a client has proven its key; by default it is admitted. */
  readonly onLogin?: (session: FakeServerSession) => void
}

interface Frame {
  readonly type: number
  readonly payload: Buffer
}

/** One connection as the server sees it. */
export class FakeServerSession {
  readonly socket: Socket
  /** The request's head. */
  head = ''
  /** The first bytes received, in one chunk. */
  firstChunk = Buffer.alloc(0)
  info: ClientInfo | undefined
  clientKey: Uint8Array | undefined
  box: BoxKey | undefined
  readonly #frames: Frame[] = []
  #awaited: PromiseWithResolvers<Frame> | undefined

  constructor(socket: Socket) {
    this.socket = socket
  }

  write(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  /** Sends ServerInfo. */
  admit(): void {
    if (this.box === undefined) throw new Error('admitted before login')
    this.write(serverInfoFrame(this.box, randomBytes(24)))
  }

  /** The next frame after ClientInfo. */
  async nextFrame(): Promise<Frame> {
    const frame = this.#frames.shift()
    if (frame !== undefined) return frame
    this.#awaited = Promise.withResolvers<Frame>()
    return this.#awaited.promise
  }

  receive(frame: Frame): void {
    if (this.#awaited === undefined) this.#frames.push(frame)
    else this.#awaited.resolve(frame)
    this.#awaited = undefined
  }
}

export class FakeServer implements AsyncDisposable {
  readonly key = newKeyPair()
  readonly #secret = new BoxSecret(this.key.privateKey)
  readonly #options: FakeServerOptions
  readonly #sessions: FakeServerSession[] = []
  readonly #open = new Set<Socket>()
  #server: Server | undefined
  #awaited: PromiseWithResolvers<FakeServerSession> | undefined
  port = 0

  private constructor(options: FakeServerOptions) {
    this.#options = options
  }

  /** Listens on a free port of 127.0.0.1. */
  static async start(options: FakeServerOptions = {}): Promise<FakeServer> {
    const server = new FakeServer(options)
    await server.#listen()
    return server
  }

  /** The next connection that has sent its login, or that `onRequest` was called for. */
  async nextSession(): Promise<FakeServerSession> {
    const session = this.#sessions.shift()
    if (session !== undefined) return session
    this.#awaited = Promise.withResolvers<FakeServerSession>()
    return this.#awaited.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    this.#server?.close()
    if (this.#server?.listening === true) await once(this.#server, 'close')
  }

  async #listen(): Promise<void> {
    const { certificate, chain = [], hasMetaCertificate = true } = this.#options
    if (certificate === undefined) {
      this.#server = createTcpServer((socket) => this.#serve(socket))
    } else {
      const paths = [certificate, ...chain].map((one) => one.certPath)
      const pems = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
      if (hasMetaCertificate) pems.push(this.#metaPem())
      const key = await readFile(certificate.keyPath)
      this.#server = createTlsServer({ cert: pems.join('\n'), key }, (socket) => this.#serve(socket))
    }
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.port = address.port
  }

  #metaPem(): string {
    const der = metaCertificate(this.key.publicKey, randomBytes(32), Date.now())
    const base64 = Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')
    return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
  }

  #serve(socket: Socket): void {
    const session = new FakeServerSession(socket)
    this.#open.add(socket)
    socket.on('close', () => this.#open.delete(socket))
    // In several tests the client resets its connection.
    socket.on('error', () => socket.destroy())
    const reader = this.#reader(session)
    let request: Buffer | undefined = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      if (session.firstChunk.length === 0) session.firstChunk = Buffer.from(chunk)
      if (request === undefined) return void reader.feed(chunk, 0, chunk.length)
      request = Buffer.concat([request, chunk])
      const headEnd = httpHeadEnd(request, 0, request.length)
      if (headEnd < 0) return
      const rest = Buffer.from(request.subarray(headEnd))
      this.#answer(session, request.subarray(0, headEnd))
      request = undefined
      reader.feed(rest, 0, rest.length)
    })
  }

  #answer(session: FakeServerSession, head: Buffer): void {
    session.head = head.toString('latin1')
    if (this.#options.onRequest !== undefined) {
      this.#options.onRequest(session)
      this.#announce(session)
      return
    }
    const parsed = parseHttpHead(head, 0, head.length)
    const request = parsed === undefined ? undefined : requestedProtocol(parsed)
    if (request?.kind !== 'derp') return void session.socket.destroy()
    const answer = request.isFastStart ? new Uint8Array(0) : switchingProtocols(this.key.publicKey)
    session.write(answer, serverKeyFrame(this.key.publicKey))
  }

  #reader(session: FakeServerSession): FrameReader {
    return new FrameReader(
      {
        onHeader: () => FrameAction.accept,
        onFrame: (type, buffer, start, end) => {
          const payload = Buffer.from(buffer.subarray(start, end))
          if (session.clientKey === undefined) this.#login(session, { type, payload })
          else session.receive({ type, payload })
          return true
        },
      },
      new BufferPool(),
    )
  }

  #login(session: FakeServerSession, { type, payload }: Frame): void {
    const key = type === FrameType.clientInfo ? readClientKey(new Uint8Array(payload)) : 'not ClientInfo'
    const box = typeof key === 'string' ? undefined : this.#secret.agree(key)
    const info = box === undefined ? 'no box' : openClientInfo(payload, box)
    if (typeof key === 'string' || typeof info === 'string') return void session.socket.destroy()
    session.clientKey = key
    session.box = box
    session.info = info
    if (this.#options.onLogin === undefined) session.admit()
    else this.#options.onLogin(session)
    this.#announce(session)
  }

  #announce(session: FakeServerSession): void {
    if (this.#awaited === undefined) this.#sessions.push(session)
    else this.#awaited.resolve(session)
    this.#awaited = undefined
  }
}

// An acceptor that listens, and the connections that it accepts: for tests of both acceptors and of all ways of TLS, without a
// relay behind them.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type { CertificateSet, NamedCertificate } from '#protocol/certificate-pem.ts'
import { metaCertificate } from '#protocol/meta-certificate.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { certificatePem } from '#protocol/self-signed.ts'
import { Counters } from '#relay/counters.ts'
import type { EndReason } from '#relay/end-reason.ts'
import type { LinkListener } from '#relay/ports.ts'
import type { Acceptor, AcceptorParts } from '#transport/acceptor.ts'
import type { Connection } from '#transport/connection.ts'
import { HandleAcceptor } from '#transport/handle-acceptor.ts'
import { NO_FLUSH_CONTROL, type FlushControl } from '#transport/read-state.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'
import { runtimeHandles } from '#transport/runtime-handles.ts'
import { SocketAcceptor } from '#transport/socket-acceptor.ts'
import { loadNative } from '#transport/native.ts'
import { OpensslLayer } from '#transport/openssl-layer.ts'
import { TlsContexts } from '#transport/tls-contexts.ts'
import { RuntimeTlsLayer, type TlsLayer } from '#transport/tls-layer.ts'
import { goodPair } from '../config/certificates.ts'
import type { FakeClock } from './fake-clock.ts'
import { waitUntil } from './process.ts'

const meta = certificatePem(
  metaCertificate(keyPairFrom(randomBytes(32)).publicKey, randomBytes(32), Date.now()),
)

/** What the relay presents: each certificate for its first name. */
export function certificateSet(
  certificates: readonly NamedCertificate[],
  challenges: readonly NamedCertificate[] = [],
): CertificateSet {
  return { certificates, meta, challenges }
}

export function namedPair(...names: string[]): NamedCertificate {
  return { names, pem: goodPair(...names) }
}

/** An accepted connection: records the events of its link. */
export class AcceptedConnection implements LinkListener {
  readonly connection: Connection
  readonly chunks: Buffer[] = []
  writtenCount = 0
  closedCount = 0
  endReason: EndReason | undefined = undefined
  onBytes: (chunk: Buffer) => void = () => undefined

  constructor(connection: Connection) {
    this.connection = connection
    connection.attach(this)
  }

  receive(chunk: Buffer, start: number, end: number): void {
    const own = Buffer.from(chunk.subarray(start, end))
    // The relay may overwrite the bytes that it borrows.
    chunk.fill(0xee, start, end)
    this.chunks.push(own)
    this.onBytes(own)
  }

  written(): void {
    this.writtenCount++
  }

  closed(reason: EndReason): void {
    this.endReason = reason
    this.closedCount++
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }
}

export interface AcceptorKind {
  /** `openssl` is over handles, too, with TLS by native calls. */
  readonly way: 'openssl' | 'handles' | 'sockets'
  /** Highest version; undefined: plain TCP. */
  readonly tls: 'TLSv1.2' | 'TLSv1.3' | undefined
}

interface HarnessOptions {
  /** Undefined: real time. */
  readonly clock?: FakeClock
  /** The limits are shared by so many threads: the more, the smaller this acceptor's share. */
  readonly threadCount?: number
  readonly flushControl?: FlushControl
}

export class AcceptorHarness {
  readonly accepted: AcceptedConnection[] = []
  readonly counters = new Counters()
  readonly scheduler: ReadScheduler
  isAccepting = true
  onAccepted: (accepted: AcceptedConnection) => void = () => undefined
  port = 0
  /** TLS connections that were made; counted over handles alone. */
  tlsCount = 0
  readonly #way: AcceptorKind['way']
  readonly #parts: AcceptorParts & { readonly scheduler: ReadScheduler }
  #acceptor: Acceptor | undefined
  #openssl: OpensslLayer | undefined
  /** With one certificate for localhost at first. */
  readonly contexts: TlsContexts
  readonly #isTls: boolean
  readonly #remotes: Socket[] = []

  constructor({ way, tls }: AcceptorKind, options: HarnessOptions = {}) {
    const { clock, threadCount = 1, flushControl = NO_FLUSH_CONTROL } = options
    this.scheduler = new ReadScheduler(
      () => performance.now(),
      () => 0,
      flushControl,
    )
    this.#isTls = tls !== undefined
    this.#way = way
    this.contexts = new TlsContexts(tls ?? 'TLSv1.3')
    this.contexts.use(certificateSet([namedPair('localhost')]))
    this.#parts = {
      counters: this.counters,
      scheduler: this.scheduler,
      tls: tls && this.contexts,
      keepAliveMs: 600_000,
      userTimeoutMs: 0,
      native: undefined,
      threadCount,
      now: clock?.now ?? (() => performance.now()),
      host: {
        tryAccept: () => this.isAccepting,
        onConnection: (connection) => {
          const accepted = new AcceptedConnection(connection)
          this.accepted.push(accepted)
          this.onAccepted(accepted)
        },
      },
    }
  }

  async open(): Promise<this> {
    this.#acceptor = await this.#makeAcceptor()
    this.port = (await this.#acceptor.listen({ host: '127.0.0.1', port: 0 }, false)).port
    return this
  }

  async #makeAcceptor(): Promise<Acceptor> {
    // TLS by native calls goes with all others of them; over the runtime's handles there are none, as without koffi.
    const native = this.#way === 'openssl' ? await loadNative() : undefined
    const parts = { ...this.#parts, native }
    if (this.#way === 'sockets') return new SocketAcceptor(parts)
    const handles = runtimeHandles()
    if (this.#way === 'openssl') this.#openssl = await OpensslLayer.open(handles, this.contexts)
    const layer: TlsLayer = this.#openssl ?? new RuntimeTlsLayer(handles)
    const begin = layer.begin.bind(layer)
    layer.begin = (...args) => {
      this.tlsCount++
      return begin(...args)
    }
    return new HandleAcceptor({ ...parts, handles, tlsLayer: layer })
  }

  /** Undefined if another way of TLS is in use. */
  get openssl(): OpensslLayer | undefined {
    return this.#openssl
  }

  /** TLS connections by native calls that were made. */
  get opensslCount(): number {
    return this.#openssl?.buffers.memory.madeCount ?? 0
  }

  stopListening(): void {
    this.#acceptor?.stopListening()
  }

  /** Ends all remotes. */
  destroyRemotes(): void {
    for (const remote of this.#remotes) remote.destroy()
  }

  async close(): Promise<void> {
    this.destroyRemotes()
    await this.#acceptor?.close()
    this.#acceptor = undefined
    if (this.#openssl === undefined) return
    const { memory } = this.#openssl.buffers
    await waitUntil('OpenSSL has freed all connections', () => memory.connectionCount === 0)
    this.#openssl.close()
    this.#openssl = undefined
  }

  sweep(): void {
    this.#acceptor?.sweep()
  }

  /** A TCP connection to the acceptor. */
  tcp(): Socket {
    const socket = connectTcp(this.port, '127.0.0.1')
    this.#remotes.push(socket)
    return socket.on('error', () => undefined)
  }

  /** A connection to the acceptor, with TLS if that is in use. */
  async remote(tcp = this.tcp()): Promise<Socket> {
    await once(tcp, 'connect')
    if (!this.#isTls) return tcp
    const socket = connectTls({ socket: tcp, rejectUnauthorized: false })
    socket.on('error', () => undefined)
    await once(socket, 'secureConnect')
    return socket
  }

  /** A TLS connection with a server name or an offer of protocols. Rejects if the handshake fails. */
  async tls(options: ConnectionOptions): Promise<TLSSocket> {
    const tcp = this.tcp()
    await once(tcp, 'connect')
    const socket = connectTls({ socket: tcp, rejectUnauthorized: false, ...options })
    await once(socket, 'secureConnect')
    return socket.on('error', () => undefined)
  }

  /** A remote, the TCP connection under its TLS, and the accepted connection. */
  async pair(): Promise<{ remote: Socket; tcp: Socket; accepted: AcceptedConnection }> {
    const before = this.accepted.length
    const tcp = this.tcp()
    const remote = await this.remote(tcp)
    await waitUntil('the connection is accepted', () => this.accepted.length === before + 1)
    return { remote, tcp, accepted: this.accepted[before] as AcceptedConnection }
  }
}

/** All that a socket receives until it closes. */
export async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(chunks)
}

/** Failed handshakes, for all reasons. */
export function failures(counters: Counters): number {
  return (
    counters.get('handshakesTimedOut') +
    counters.get('handshakesNotTls') +
    counters.get('handshakesLeft') +
    counters.get('handshakesBroken') +
    counters.get('handshakesCrowdedOut')
  )
}

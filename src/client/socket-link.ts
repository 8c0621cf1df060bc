// A client's link: one TCP or TLS socket as an ordered byte pipe, dialled and verified. Knows no HTTP, WebSocket or frames.
// Reads into a shared buffer that is lent for the call, so an idle link has no memory beside its socket.

import type { X509Certificate } from 'node:crypto'
import { connect as connectTcp, type NetConnectOpts, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket, type ConnectionOptions } from 'node:tls'
import { hostPortText } from '#protocol/host-port.ts'
import { DerpConnectError, type ConnectStage } from './connect-error.ts'
import { askForTunnel, type Proxy } from './proxy.ts'
import type { SharedResources } from './shared-resources.ts'
import type { Target } from './target.ts'
import {
  metaKeyOf,
  nameProblem,
  pinProblem,
  presentedCertificates,
  type ServerTrust,
} from './tls-verification.ts'

/** The user of a link. */
export interface LinkHandler {
  /** The link is open and, with TLS, verified. Called at most once, before any bytes. */
  onOpen(secure: SecureFacts | undefined): void
  /** Bytes at [start, end), borrowed for the call. */
  onBytes(buffer: Buffer, start: number, end: number): void
  /** The server has ended its side. What is written from now on would be lost; `onClosed` follows. */
  onEnded(): void
  /** There is room again after `write` has returned false. */
  onDrained(): void
  /** The link has ended; called once, even if it was never open. */
  onClosed(error: Error | undefined): void
}

/** The results of the TLS handshake. */
export interface SecureFacts {
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly protocol: string
  /** The DERP key in the meta certificate; undefined below TLS 1.3, and when certificates were not needed. */
  readonly metaKey: Uint8Array | undefined
  /** The server's certificates in its order; empty when they were not needed. */
  readonly certificates: readonly X509Certificate[]
}

/** A socket that takes longer to flush and close is destroyed. */
const CLOSE_TIMEOUT_MS = 1_000

export class SocketLink {
  readonly #shared: SharedResources
  readonly #handler: LinkHandler
  readonly #target: Target
  readonly #wantsCertificates: boolean
  /** With a proxy and TLS, the connection to the proxy first, and then TLS on it. */
  #socket: Socket
  #stage: ConnectStage = 'dial'
  #error: Error | undefined

  /**
   * Begins to dial.
   *
   * @param wantsCertificates whether the server's certificates are needed, for fast start or for the user
   */
  constructor(target: Target, shared: SharedResources, handler: LinkHandler, wantsCertificates: boolean) {
    this.#target = target
    this.#shared = shared
    this.#handler = handler
    this.#wantsCertificates = wantsCertificates || target.verification.kind === 'pin'
    const { proxy } = target
    if (proxy === undefined) this.#socket = this.#attached(openSocket(target, shared, this.#onread()))
    else this.#socket = this.#dialProxy(proxy)
  }

  /** The current stage of dialling. */
  get stage(): ConnectStage {
    return this.#stage
  }

  /** Bytes in the socket's queue. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  /** Of the socket, for what the runtime has no call for; undefined if this version of Node does not tell, or it is closed. */
  get descriptor(): number | undefined {
    return (this.#socket as { _handle?: { fd?: number } | null })._handle?.fd
  }

  get needsDrain(): boolean {
    return this.#socket.writableNeedDrain
  }

  /**
   * Writes. Returns false if the socket's queue is full and the caller should wait for onDrained.
   *
   * @param accepted called when the system has accepted the bytes; not if the link ends before
   */
  write(bytes: Uint8Array, accepted?: () => void): boolean {
    if (accepted === undefined) return this.#socket.write(bytes)
    return this.#socket.write(bytes, (error) => {
      // Undefined or null, depending on the kind of socket.
      if (!error) accepted()
    })
  }

  /** Stops reading, so that the server's writes fill up. Bytes already read may still arrive. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Flushes, then closes. Destroys the socket if the server does not close in time. */
  end(): void {
    this.#socket.end()
    const limit = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS)
    this.#socket.once('close', () => clearTimeout(limit))
  }

  /** Closes at once; unflushed bytes are lost. */
  destroy(): void {
    this.#socket.destroy()
  }

  #attached(socket: Socket): Socket {
    socket.setNoDelay(true)
    socket.once('connect', () => this.#onConnect())
    socket.once('secureConnect', () => this.#onSecure())
    socket.on('drain', () => this.#handler.onDrained())
    socket.once('end', () => this.#handler.onEnded())
    // For the runtime an unreadable TLS record is an error, but not the end of the socket.
    socket.on('error', (error) => {
      this.#error ??= error
      socket.destroy()
    })
    socket.once('close', () => this.#handler.onClosed(this.#error))
    return socket
  }

  #onread(): OnReadOpts {
    const { readBuffer } = this.#shared
    return {
      buffer: readBuffer,
      callback: (bytes) => {
        this.#handler.onBytes(readBuffer, 0, bytes)
        return true
      },
    }
  }

  #dialProxy(proxy: Proxy): Socket {
    const { localAddress, dialAddress, port } = this.#target
    const authority = hostPortText(dialAddress, port)
    const socket = connectTcp({ host: proxy.host, port: proxy.port, localAddress })
    const onClose = (): void => this.#handler.onClosed(this.#error)
    socket.setNoDelay(true)
    socket.on('error', (error) => {
      this.#error ??= error
      socket.destroy()
    })
    socket.once('close', onClose)
    socket.once('connect', () => {
      askForTunnel(socket, proxy, authority, () => {
        socket.off('close', onClose)
        this.#onTunnel(socket)
      })
    })
    return socket
  }

  /** From now on the socket is the server's. Only a new socket reads into the shared buffer. */
  #onTunnel(socket: Socket): void {
    const { tls } = this.#target
    if (tls === false) {
      this.#attached(socket)
    } else {
      const settings = tlsSettings(this.#target, tls, this.#shared)
      this.#socket = this.#attached(connectTls({ ...settings, socket }))
    }
    this.#socket.on('data', (bytes: Buffer) => this.#handler.onBytes(bytes, 0, bytes.length))
    this.#onConnect()
  }

  #onConnect(): void {
    if (this.#target.tls === false) this.#handler.onOpen(undefined)
    else this.#stage = 'tls'
  }

  #onSecure(): void {
    const socket = this.#socket
    if (!(socket instanceof TLSSocket)) return
    const { verification } = this.#target
    const certificates = this.#wantsCertificates ? presentedCertificates(socket) : []
    const problem =
      verification.kind === 'pin' ? pinProblem(certificates, verification, Date.now()) : undefined
    if (problem !== undefined) {
      socket.destroy(new DerpConnectError('tls', problem))
      return
    }
    const protocol = socket.getProtocol() ?? ''
    const metaKey = protocol === 'TLSv1.3' ? metaKeyOf(certificates) : undefined
    this.#handler.onOpen({ protocol, metaKey, certificates })
  }
}

function openSocket(target: Target, shared: SharedResources, onread: OnReadOpts): Socket {
  const { dialAddress: host, port, localAddress, tls } = target
  const plain: NetConnectOpts = { host, port, localAddress, onread }
  return tls === false ? connectTcp(plain) : connectTls({ ...plain, ...tlsSettings(target, tls, shared) })
}

function tlsSettings(target: Target, tls: ServerTrust, shared: SharedResources): ConnectionOptions {
  const { verification } = target
  return {
    secureContext: shared.secureContextFor(tls),
    servername: verification.sni ?? '',
    rejectUnauthorized: verification.kind === 'chain',
    checkServerIdentity: (_host, certificate) =>
      verification.kind === 'chain' && verification.name !== undefined
        ? nameProblem(verification.name, certificate)
        : undefined,
  }
}

// A client's link: one TCP or TLS socket as an ordered byte pipe, dialled and verified. Knows bytes, not HTTP,
// WebSocket or frames. Reads go into a buffer that is shared and lent for the call, so an idle link holds no
// memory of its own beside the socket's.

import type { X509Certificate } from 'node:crypto'
import { connect as connectTcp, type NetConnectOpts, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket, type ConnectionOptions } from 'node:tls'
import { DerpConnectError, type ConnectStage } from './connect-error.ts'
import type { SharedResources } from './shared-resources.ts'
import type { Target } from './target.ts'
import {
  metaKeyOf,
  nameProblem,
  pinProblem,
  presentedCertificates,
  type ServerTrust,
} from './tls-verification.ts'

/** Who uses a link. */
export interface LinkHandler {
  /** The link is open and, with TLS, verified. Called at most once, before any bytes. */
  onOpen(secure: SecureFacts | undefined): void
  /** Bytes at [start, end), borrowed for the call. */
  onBytes(buffer: Buffer, start: number, end: number): void
  /** Room again after `write` said false. */
  onDrained(): void
  /** The end, told once, whether or not the link was ever open. */
  onClosed(error: Error | undefined): void
}

/** What TLS agreed on. */
export interface SecureFacts {
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly protocol: string
  /** The DERP key of the meta certificate; undefined below TLS 1.3 or when it was not looked for. */
  readonly metaKey: Uint8Array | undefined
  /** All that the server presented, in its order; empty when nothing needed it. */
  readonly certificates: readonly X509Certificate[]
}

/** How long a socket may take to flush and close in order before it is cut. */
const CLOSE_TIMEOUT_MS = 1_000

export class SocketLink {
  readonly #socket: Socket
  readonly #handler: LinkHandler
  readonly #target: Target
  readonly #wantsCertificates: boolean
  #stage: ConnectStage = 'dial'
  #error: Error | undefined

  /**
   * Begins to dial.
   *
   * @param wantsCertificates whether the presented certificates are needed: for fast start, or to be shown
   */
  constructor(target: Target, shared: SharedResources, handler: LinkHandler, wantsCertificates: boolean) {
    this.#target = target
    this.#handler = handler
    this.#wantsCertificates = wantsCertificates || target.verification.kind === 'pin'
    this.#socket = openSocket(target, shared, {
      buffer: shared.readBuffer,
      callback: (bytes) => {
        this.#handler.onBytes(shared.readBuffer, 0, bytes)
        return true
      },
    })
    this.#socket.setNoDelay(true)
    this.#socket.once('connect', () => this.#onConnect())
    this.#socket.once('secureConnect', () => this.#onSecure())
    this.#socket.on('drain', () => this.#handler.onDrained())
    // A record that can't be read is an error to the runtime, and no end.
    this.#socket.on('error', (error) => {
      this.#error ??= error
      this.#socket.destroy()
    })
    this.#socket.once('close', () => this.#handler.onClosed(this.#error))
  }

  /** How far dialling has come. */
  get stage(): ConnectStage {
    return this.#stage
  }

  /** Bytes that the socket still holds. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  get needsDrain(): boolean {
    return this.#socket.writableNeedDrain
  }

  /**
   * Writes; false when the socket holds enough and the caller should wait for onDrained.
   *
   * @param taken called when the system has taken the bytes; not if the link ends before
   */
  write(bytes: Uint8Array, taken?: () => void): boolean {
    if (taken === undefined) return this.#socket.write(bytes)
    return this.#socket.write(bytes, (error) => {
      // Absent or null, according to the kind of socket.
      if (!error) taken()
    })
  }

  /** Stops reading, so that the server feels it; up to what was already read may still come. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Closes in order: what was written is flushed first. Cut if the server does not follow. */
  end(): void {
    this.#socket.end()
    const limit = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS)
    this.#socket.once('close', () => clearTimeout(limit))
  }

  /** Cuts at once; what was not flushed is lost. */
  destroy(): void {
    this.#socket.destroy()
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

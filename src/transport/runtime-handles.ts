// The runtime's own stream handles, on which its sockets are built: what they can do, as far as it is used
// here, and how they are come by. Nothing of this is a public interface of Node: `handle-selftest.ts` tries it
// out at each start, and the relay works over public sockets where the trial fails (docs/decisions/0005).

import type { SecureContext } from 'node:tls'

/** A write or a shutdown under way. The runtime calls `oncomplete` with 0 or a negative error number. */
export interface HandleRequest {
  oncomplete: (this: this, status: number) => void
  /** Whose it is. */
  owner?: HandleOwner
  /** What is being written, kept from the garbage collector. */
  bytes?: Uint8Array | readonly Uint8Array[]
}

/** Who hears what happens on a handle. */
export interface HandleOwner {
  /** Bytes lie in the handle's buffer, or it has ended: `bytesRead` tells. */
  read(): void
  /** The TLS handshake is done. */
  secured(): void
  written(status: number): void
  shutDown(): void
  tlsFailed(): void
}

export interface PeerName {
  address?: string
  port?: number
}

/** A byte stream, TCP's or TLS's. Methods return 0 or a negative error number. */
export interface StreamHandle {
  owner?: HandleOwner
  /** For streams of Node's own that are built on this handle later: whether it is being read. */
  reading?: boolean
  onread: (this: StreamHandle) => void
  /** What has been read of it since it was made, by events. */
  readonly bytesRead: number
  /** All that arrives is put at the start of `buffer`, until the next call. */
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  /** `bytes` must stay as they are until the request completes. See `wasAsync`. */
  writeBuffer(request: HandleRequest, bytes: Uint8Array): number
  writev(request: HandleRequest, chunks: readonly Uint8Array[], areAllBuffers: true): number
  shutdown(request: HandleRequest): number
  close(onClosed: () => void): void
}

export interface TcpHandle extends StreamHandle {
  /** The descriptor; negative when closed. */
  readonly fd: number
  getpeername(name: PeerName): number
  setNoDelay(isOn: boolean): number
  setKeepAlive(isOn: boolean, delaySeconds: number): number
}

export interface TlsHandle extends StreamHandle {
  /** Set for streams of Node's own that are built on this handle later. */
  _parent: TcpHandle
  _secureContext: SecureContext
  setALPNProtocols(wireForm: Uint8Array): void
  /** Takes bytes that were read from the TCP handle before there was TLS. */
  receive(bytes: Uint8Array): void
  getProtocol(): string | null
  /** Frees what TLS holds; the handle must be closed. */
  destroySSL(): void
}

/** What a listening handle is asked: it hands over each accepted connection. */
export interface ListeningHandle {
  onconnection: (error: number, handle: TcpHandle) => void
}

export interface RuntimeHandles {
  /** TLS over a connection that was accepted. Its owner is told of its failure. */
  readonly wrapTls: (handle: TcpHandle, context: SecureContext) => TlsHandle
  readonly WriteRequest: new () => HandleRequest
  readonly ShutdownRequest: new () => HandleRequest
  /** What a call of `onread` is about: so many bytes; or, negative, the end or an error number. */
  readonly bytesRead: () => number
  /** Whether the last write goes on after the call, and completes later. */
  readonly wasAsync: () => boolean
}

/** What `process.binding` gives of streams. */
interface StreamBinding {
  readonly WriteWrap: new () => HandleRequest
  readonly ShutdownWrap: new () => HandleRequest
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kLastWriteWasAsync: number
}

interface TlsBinding {
  wrap(handle: TcpHandle, context: unknown, isServer: boolean, hasActiveWrite: boolean): TlsHandle
}

/** The handles of this runtime; throws when it has none of this kind. */
export function runtimeHandles(): RuntimeHandles {
  const runtime = process as unknown as { binding(name: string): unknown }
  const streams = runtime.binding('stream_wrap') as StreamBinding
  const tls = runtime.binding('tls_wrap') as TlsBinding
  const { streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = streams
  if (!Number.isInteger(kReadBytesOrError) || !Number.isInteger(kLastWriteWasAsync)) {
    throw new Error('this runtime keeps the state of streams elsewhere')
  }
  return {
    WriteRequest: streams.WriteWrap,
    ShutdownRequest: streams.ShutdownWrap,
    bytesRead: () => state[kReadBytesOrError] as number,
    wasAsync: () => state[kLastWriteWasAsync] !== 0,
    wrapTls: (handle, context) =>
      Object.assign(tls.wrap(handle, context.context, true, false), {
        _parent: handle,
        _secureContext: context,
        ...TLS_EVENTS,
      }),
  }
}

const TLS_EVENTS = {
  onhandshakestart(): void {},
  onhandshakedone(this: TlsHandle): void {
    this.owner?.secured()
  },
  onerror(this: TlsHandle): void {
    this.owner?.tlsFailed()
  },
}

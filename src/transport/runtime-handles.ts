// The runtime's own stream handles, on which Node's sockets are built: declarations of what is used here, and how to get
// them. None of this is a public interface of Node. `handle-selftest.ts` tests it at each start. On other lines of Node, and
// where the test fails, the relay works over public sockets (docs/decisions/0005, docs/decisions/0025).

import type { SecureContext } from 'node:tls'

/** A write or a shutdown in progress. The runtime calls `oncomplete` with 0 or a negative error number. */
export interface HandleRequest {
  oncomplete: (this: this, status: number) => void
  owner?: HandleOwner
  /** The bytes being written: referenced here so that they are not garbage-collected. */
  bytes?: Uint8Array | readonly Uint8Array[]
}

/** Receives the events of a handle. */
export interface HandleOwner {
  /**
   * So many bytes are in the handle's buffer, or the stream has ended: then the number is negative.
   * @param records TLS records that the bytes came in
   */
  onRead(byteCount: number, records: number): void
  /** Bytes of records have arrived; told by TLS that has `cipherBytes`. */
  onRecords(): void
  /** The TLS handshake is done. */
  onHandshakeDone(): void
  onWritten(status: number): void
  onShutDown(): void
  onTlsError(): void
}

export interface SocketName {
  address?: string
  port?: number
}

/** A byte stream, of TCP or of TLS. Methods return 0 or a negative error number. */
export interface StreamHandle {
  owner?: HandleOwner
  /** Of a TCP handle: the TLS over it, if that is not the runtime's. */
  tls?: object
  /** Whether it is being read; Node's own streams expect this field if one is built on the handle later. */
  reading?: boolean
  onread: (this: StreamHandle) => void
  /** Bytes read by events since the handle was made. */
  readonly bytesRead: number
  /** Bytes given to the system since then. */
  readonly bytesWritten: number
  /** Each read puts its bytes at the start of `buffer`, over those of the read before. The caller keeps `buffer` alive. */
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  /** `bytes` must not change until the request completes. See `RuntimeHandles.wasAsync`. */
  writeBuffer(request: HandleRequest, bytes: Uint8Array): number
  writev(request: HandleRequest, chunks: readonly Uint8Array[], areAllBuffers: true): number
  shutdown(request: HandleRequest): number
  close(onClosed: () => void): void
}

export interface TcpHandle extends StreamHandle {
  /** The file descriptor; negative when closed. */
  readonly fd: number
  getpeername(name: SocketName): number
  getsockname(name: SocketName): number
  setNoDelay(isOn: boolean): number
  setKeepAlive(isOn: boolean, delaySeconds: number): number
}

/** TLS over a TCP handle: the runtime's own, or that of openssl-handle.ts. */
export interface TlsHandle extends Omit<StreamHandle, 'bytesWritten' | 'close' | 'writev'> {
  /** Its output buffer grows to the size of the largest write, by 16 KiB at a time, and never shrinks. */
  readonly keepsLargestWrite: boolean
  /**
   * Bytes of records that it has taken so far; undefined: all that was read from the TCP connection, and the owner is not told
   * of it.
   */
  readonly cipherBytes?: number
  /** Feeds in bytes that were read from the TCP connection otherwise than by this handle. */
  receive(bytes: Uint8Array): void
  getProtocol(): string | null
  /** Frees the TLS state; the TCP handle must be closed. */
  destroySSL(): void
}

interface RuntimeTlsHandle extends TlsHandle {
  /** Node's own streams expect these fields if one is built on the handle later. */
  _parent: TcpHandle
  _secureContext: SecureContext
  setALPNProtocols(wireForm: Uint8Array): void
}

/** A byte stream over any descriptor that can be waited for. */
export interface PipeHandle extends Pick<StreamHandle, 'close' | 'onread' | 'readStart' | 'useUserBuffer'> {
  /** Takes the descriptor over. */
  open(descriptor: number): number
  /** It does not keep the thread alive. */
  unref(): void
}

/** A listening handle: hands over each accepted connection. */
export interface ListeningHandle {
  onconnection: (error: number, handle: TcpHandle) => void
}

export interface RuntimeHandles {
  /** Makes TLS over an accepted connection. Its owner receives its events. */
  readonly wrapTls: (handle: TcpHandle, context: SecureContext) => RuntimeTlsHandle
  readonly WriteRequest: new () => HandleRequest
  readonly ShutdownRequest: new () => HandleRequest
  /** An `onread` that tells the handle's owner. */
  readonly tellOwner: (this: StreamHandle) => void
  /** For use in `onread`: how many bytes were read; negative at the end of the stream, and for an error. */
  readonly bytesRead: () => number
  /** Whether the last write has not completed within the call, and will complete later. */
  readonly wasAsync: () => boolean
}

/** The part of `process.binding('stream_wrap')` that is used. */
interface StreamBinding {
  readonly WriteWrap: new () => HandleRequest
  readonly ShutdownWrap: new () => HandleRequest
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kLastWriteWasAsync: number
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle
  readonly constants: { readonly SOCKET: number }
}

interface TlsBinding {
  wrap(handle: TcpHandle, context: unknown, isServer: boolean, hasActiveWrite: boolean): RuntimeTlsHandle
}

/** The lines of Node whose handles are known: the test suite has passed on each. */
const KNOWN_LINES: readonly number[] = [22, 24]

/**
 * The handles of this runtime.
 *
 * @throws Error if they are not known
 */
export function runtimeHandles(): RuntimeHandles {
  const runtime = knownRuntime()
  const streams = runtime.binding('stream_wrap') as StreamBinding
  const tls = runtime.binding('tls_wrap') as TlsBinding
  const { streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = streams
  if (!Number.isInteger(kReadBytesOrError) || !Number.isInteger(kLastWriteWasAsync)) {
    throw new Error('the stream state of this runtime has another layout')
  }
  return {
    WriteRequest: streams.WriteWrap,
    ShutdownRequest: streams.ShutdownWrap,
    // Each read of TLS brings one record.
    tellOwner(this: StreamHandle) {
      this.owner?.onRead(state[kReadBytesOrError] as number, 1)
    },
    bytesRead: () => state[kReadBytesOrError] as number,
    wasAsync: () => state[kLastWriteWasAsync] !== 0,
    wrapTls: (handle, context) =>
      Object.assign(tls.wrap(handle, context.context, true, false), {
        _parent: handle,
        _secureContext: context,
        keepsLargestWrite: true,
        ...TLS_EVENTS,
      }),
  }
}

/**
 * A new handle, for one descriptor.
 *
 * @param onRead so many bytes are in the handle's buffer, or a negative error number
 * @throws Error if the handles of this runtime are not known
 */
export function pipeHandle(onRead: (byteCount: number) => void): PipeHandle {
  const runtime = knownRuntime()
  const { Pipe, constants } = runtime.binding('pipe_wrap') as PipeBinding
  const { streamBaseState, kReadBytesOrError } = runtime.binding('stream_wrap') as StreamBinding
  const handle = new Pipe(constants.SOCKET)
  handle.onread = () => onRead(streamBaseState[kReadBytesOrError] as number)
  return handle
}

function knownRuntime(): { binding(name: string): unknown } {
  const { node } = process.versions
  if (!KNOWN_LINES.includes(Number.parseInt(node, 10)))
    throw new Error(
      `the internals of Node ${node} are not known; those of Node ${KNOWN_LINES.join(' and ')} are`,
    )
  return process as unknown as { binding(name: string): unknown }
}

const TLS_EVENTS = {
  onhandshakestart(): void {},
  onhandshakedone(this: RuntimeTlsHandle): void {
    this.owner?.onHandshakeDone()
  },
  onerror(this: RuntimeTlsHandle): void {
    this.owner?.onTlsError()
  },
}

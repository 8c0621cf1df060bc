// What an acceptor over handles makes TLS with. There are two implementations: here, the runtime's own TLS over its handles, and
// openssl-layer.ts, the runtime's OpenSSL by native calls.

import type { ClientHello } from '#protocol/tls-hello.ts'
import type { RuntimeHandles, TcpHandle, TlsHandle } from './runtime-handles.ts'
import type { TlsChoice } from './tls-contexts.ts'

/** The runtime's TLS has an input buffer of 1 KiB. A read that fills it adds another of 16 KiB, for good. */
const HELLO_PIECE_BYTES = 1_023

export interface TlsLayer {
  /** Where all connections of the thread read their bytes; each read is consumed before the next. */
  readonly readBuffer: Buffer
  /** TLS over an accepted connection of which `hello` has been read. */
  begin(tcp: TcpHandle, choice: TlsChoice, hello: ClientHello): TlsHandle
  /** Gives the bytes of the hello to `tls`, which has an owner now. */
  receiveHello(tls: TlsHandle, bytes: Buffer): void
  /** Frees buffers that were not needed lately; to be called about once a second. */
  trim(): void
}

/** The most that libuv reads in one call. */
export const READ_BUFFER_BYTES = 65_536

export class RuntimeTlsLayer implements TlsLayer {
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly #handles: RuntimeHandles

  constructor(handles: RuntimeHandles) {
    this.#handles = handles
  }

  begin(tcp: TcpHandle, { alpn, context }: TlsChoice): TlsHandle {
    const tls = this.#handles.wrapTls(tcp, context)
    tls.setALPNProtocols(alpn)
    tcp.onread = ignoreRead
    return tls
  }

  receiveHello(tls: TlsHandle, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += HELLO_PIECE_BYTES) {
      tls.receive(bytes.subarray(at, at + HELLO_PIECE_BYTES))
    }
  }

  trim(): void {}
}

/** TLS reads the TCP handle from now on. */
function ignoreRead(): void {}

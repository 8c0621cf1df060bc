// TLS by native calls of the OpenSSL that Node is linked with (docs/decisions/0029), for connections over the runtime's handles.
// Makes connections (openssl-handle.ts) and contexts of certificates (openssl-context.ts); what connections share is
// openssl-buffers.ts. Runs on a relay thread.
//
// A client that offers application protocols (ALPN) gets the runtime's TLS: OpenSSL selects a protocol by a callback only, and C
// is not to call into JavaScript. Those are browsers, health checks and authorities; clients of DERP over TLS offer none.

import type { ClientHello } from '#protocol/tls-hello.ts'
import { OpensslBuffers } from './openssl-buffers.ts'
import { openContext } from './openssl-context.ts'
import { OpensslHandle } from './openssl-handle.ts'
import type { RuntimeHandles, StreamHandle, TcpHandle, TlsHandle } from './runtime-handles.ts'
import type { TlsChoice, TlsContexts } from './tls-contexts.ts'
import { RuntimeTlsLayer, type TlsLayer } from './tls-layer.ts'

/** For a context that OpenSSL refuses; its connections get the runtime's TLS. */
const REFUSED = 0

export class OpensslLayer implements TlsLayer {
  readonly buffers: OpensslBuffers
  readonly #runtime: RuntimeTlsLayer
  readonly #contexts: TlsContexts
  /** By what they were made of. */
  readonly #made = new Map<TlsChoice, number>()

  private constructor(buffers: OpensslBuffers, contexts: TlsContexts) {
    this.buffers = buffers
    this.#runtime = new RuntimeTlsLayer(buffers.handles)
    this.#contexts = contexts
  }

  /** @throws Error if native calls or OpenSSL's functions are not there or not known */
  static async open(handles: RuntimeHandles, contexts: TlsContexts): Promise<OpensslLayer> {
    return new OpensslLayer(await OpensslBuffers.open(handles), contexts)
  }

  get readBuffer(): Buffer {
    return this.buffers.readBuffer
  }

  begin(tcp: TcpHandle, choice: TlsChoice, hello: ClientHello): TlsHandle {
    const context = hello.offersProtocols || choice.isChallenge ? REFUSED : this.#contextOf(choice)
    if (context === REFUSED) return this.#runtime.begin(tcp, choice)
    const { cipherBuffer, input, memory, output } = this.buffers
    const tls = memory.newConnection(context, input, output)
    tcp.useUserBuffer(cipherBuffer)
    tcp.onread = onTcpRead
    return new OpensslHandle(this.buffers, tcp, tls)
  }

  receiveHello(tls: TlsHandle, bytes: Buffer): void {
    if (tls instanceof OpensslHandle) tls.receive(bytes)
    else this.#runtime.receiveHello(tls, bytes)
  }

  #contextOf(choice: TlsChoice): number {
    const made = this.#made.get(choice)
    if (made !== undefined) return made
    // The certificates have changed, so some contexts may be of no use any more.
    for (const [old, context] of this.#made) {
      if (this.#contexts.has(old)) continue
      this.#made.delete(old)
      this.buffers.memory.freeContext(context)
    }
    const context = this.#open(choice)
    this.#made.set(choice, context)
    return context
  }

  #open(choice: TlsChoice): number {
    try {
      return openContext(this.buffers.openssl, this.buffers.memory, choice.options)
    } catch {
      return REFUSED
    }
  }

  trim(): void {
    this.buffers.trim()
  }

  /** Frees everything, also connections that live. */
  close(): void {
    this.buffers.close()
  }
}

function onTcpRead(this: StreamHandle): void {
  if (this.tls instanceof OpensslHandle) this.tls.onTcpRead()
}

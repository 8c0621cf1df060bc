// Dials siblings with the project's own client, in the way of every client: fast start if the sibling's certificate shows
// its key, an upgrade otherwise. Adapts the client to the mesh's port for dialling; no logic of either. Runs on a relay
// thread.

import { DerpConnection } from '#client/derp-connection.ts'
import { SharedResources } from '#client/shared-resources.ts'
import type { ServerTrust } from '#client/tls-verification.ts'
import type { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { readServerKey } from '#protocol/handshake.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { SiblingStream, Dial, DialHandler } from '#mesh/dial.ts'
import type { Native } from '#transport/native.ts'

export interface DialOptions {
  /** Authorities that may have signed siblings' certificates. */
  readonly ca: readonly string[]
  /** Siblings are reached without TLS. */
  readonly isPlain: boolean
  /** Undefined where native calls do not work: the kernel's round trips are not known then. */
  readonly native?: Promise<Native> | undefined
}

/** A dialler whose connections share buffers and TLS contexts. */
export function siblingDialler(options: DialOptions): Dial {
  const shared = new SharedResources()
  const tls: ServerTrust = { ca: options.ca }
  const context: DialContext = { shared, tls: options.isPlain ? false : tls, native: undefined }
  void options.native?.then((native) => (context.native = native))
  return (sibling, handler) => new SiblingConnection(sibling, handler, context)
}

/** What the connections of one dialler have in common. */
interface DialContext {
  readonly shared: SharedResources
  readonly tls: ServerTrust | false
  /** Undefined until it is loaded, too. */
  native: Native | undefined
}

class SiblingConnection implements SiblingStream {
  readonly #handler: DialHandler
  /** Undefined if the address can't be dialled. */
  readonly #connection: DerpConnection | undefined
  readonly #pool: BufferPool
  readonly #context: DialContext
  /** The parts of the present burst so far. */
  #chunks: Uint8Array[] = []
  /** A burst joined from several chunks that the system has not accepted yet. */
  #burst: Buffer | undefined = undefined
  #isGreeted = false
  /** The system has not accepted the last burst yet. */
  #isWriting = false
  /** The sibling has ended its side during a burst, and why. */
  #endWhy: string | undefined = undefined
  #isOver = false

  constructor(sibling: Sibling, handler: DialHandler, context: DialContext) {
    this.#handler = handler
    this.#pool = context.shared.pool
    this.#context = context
    this.#connection = this.#open(sibling, context)
  }

  #open(sibling: Sibling, context: DialContext): DerpConnection | undefined {
    try {
      const connection = this.#make(sibling, context)
      connection.open().catch((error: unknown) => this.#onFailed(error))
      return connection
    } catch (error) {
      // Reported like any other failure: after the caller has received this connection.
      setImmediate(() => this.#onFailed(error))
      return undefined
    }
  }

  #make({ host, port, dialHost, certName }: Sibling, { shared, tls }: DialContext): DerpConnection {
    return new DerpConnection(
      {
        host,
        port,
        shared,
        tls: tls === false || certName === undefined ? tls : { ...tls, certName },
        ...(dialHost === undefined ? {} : { dialAddress: dialHost }),
      },
      {
        onFrame: (type, buffer, start, end) => this.#onFrame(type, buffer, start, end),
        onEnding: (end) => this.#onEnding(end.message),
        onClosed: (end) => this.#onClosed(end.message),
        greet: (serverKey) => this.#greet(serverKey),
      },
    )
  }

  /** A burst leaves in one write: for several writes, the runtime would allocate a buffer each time. */
  write(bytes: Uint8Array, isLast: boolean): boolean {
    this.#isWriting = true
    if (isLast && this.#chunks.length === 0) {
      this.#connection?.write(bytes, this.#onAccepted)
      return false
    }
    this.#chunks.push(bytes)
    if (!isLast) return false
    const byteCount = this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const burst = this.#pool.rent(byteCount)
    let at = 0
    for (const chunk of this.#chunks.splice(0)) {
      burst.set(chunk, at)
      at += chunk.length
    }
    this.#burst = burst
    this.#connection?.write(burst.subarray(0, byteCount), this.#onAccepted)
    return true
  }

  get roundTripSeconds(): number {
    const { native } = this.#context
    const descriptor = this.#connection?.descriptor
    return native === undefined || descriptor === undefined ? 0 : native.roundTripUs(descriptor) / 1e6
  }

  readonly #onAccepted = (): void => {
    this.#returnBurst()
    this.#isWriting = false
    if (this.#endWhy !== undefined) this.#over(this.#endWhy)
    else this.#handler.written()
  }

  destroy(): void {
    this.#connection?.destroy()
  }

  #greet(serverKey: Uint8Array): Uint8Array | undefined {
    this.#isGreeted = true
    const greeting = this.#handler.greet(serverKey)
    // Not while the connection is still opening.
    if (greeting === undefined) setImmediate(() => this.destroy())
    return greeting
  }

  #onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type !== FrameType.serverKey) return this.#handler.onFrame(type, buffer, start, end)
    if (this.#isGreeted) return
    const serverKey = readServerKey(buffer.subarray(start, end))
    if (serverKey === undefined) return this.#connection?.breakOff('the server sent no key of its own')
    const greeting = this.#greet(serverKey)
    if (greeting !== undefined) this.#connection?.write(greeting)
  }

  #onFailed(error: unknown): void {
    this.#onClosed(error instanceof Error ? error.message : String(error))
  }

  #returnBurst(): void {
    if (this.#burst !== undefined) this.#pool.giveBack(this.#burst)
    this.#burst = undefined
  }

  /** No packet is to be written to a connection that takes none; a burst that is being written belongs to it to the end. */
  #onEnding(why: string): void {
    if (this.#isWriting) this.#endWhy = why
    else this.#over(why)
  }

  #onClosed(why: string): void {
    this.#returnBurst()
    this.#over(why)
  }

  #over(why: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#handler.onClosed(why)
  }
}

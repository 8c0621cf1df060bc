// Dials siblings with the project's own client, in the way of all clients: fast start where the sibling shows its key
// in its certificate, an upgrade otherwise. Ties the client to what the mesh asks of a dialler; no logic of either.

import { DerpConnection } from '#client/derp-connection.ts'
import { SharedResources } from '#client/shared-resources.ts'
import type { ServerTrust } from '#client/tls-verification.ts'
import type { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { readServerKey } from '#protocol/handshake.ts'
import type { Sibling } from '#fleet/sibling.ts'
import type { SiblingStream, Dial, DialHandler } from '#mesh/dial.ts'

export interface DialOptions {
  /** Authorities that siblings' certificates may be signed by. */
  readonly ca: readonly string[]
  /** Siblings are reached without TLS. */
  readonly isPlain: boolean
}

/** A dialler whose connections share what they can. */
export function siblingDialler(options: DialOptions): Dial {
  const shared = new SharedResources()
  const tls: ServerTrust = { ca: options.ca }
  return (address, handler) =>
    new SiblingConnection(address, handler, { shared, tls: options.isPlain ? false : tls })
}

interface Way {
  readonly shared: SharedResources
  readonly tls: ServerTrust | false
}

class SiblingConnection implements SiblingStream {
  readonly #handler: DialHandler
  /** Undefined where the address is none that can be dialled. */
  readonly #connection: DerpConnection | undefined
  readonly #pool: BufferPool
  /** What has come of a burst so far. */
  #chunks: Uint8Array[] = []
  /** Put together of several chunks, and not taken by the system yet. */
  #burst: Buffer | undefined = undefined
  #isGreeted = false
  #isOver = false

  constructor(address: Sibling, handler: DialHandler, { shared, tls }: Way) {
    this.#handler = handler
    this.#pool = shared.pool
    this.#connection = this.#open(address, { shared, tls })
  }

  #open(address: Sibling, way: Way): DerpConnection | undefined {
    try {
      const connection = this.#make(address, way)
      connection.open().catch((error: unknown) => this.#onFailed(error))
      return connection
    } catch (error) {
      // As every other failure: when whoever dials has what it dialled.
      setImmediate(() => this.#onFailed(error))
      return undefined
    }
  }

  #make({ host, port, dialHost, certName }: Sibling, { shared, tls }: Way): DerpConnection {
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
        onClosed: (end) => this.#onClosed(end.message),
        greet: (serverKey) => this.#greet(serverKey),
      },
    )
  }

  /** A burst leaves in one write: for several, the runtime would make a buffer of its own each time. */
  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (isLast && this.#chunks.length === 0) {
      this.#connection?.write(bytes, this.#taken)
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
    this.#connection?.write(burst.subarray(0, byteCount), this.#taken)
    return true
  }

  readonly #taken = (): void => {
    this.#giveBack()
    this.#handler.written()
  }

  destroy(): void {
    this.#connection?.destroy()
  }

  #greet(serverKey: Uint8Array): Uint8Array | undefined {
    this.#isGreeted = true
    const greeting = this.#handler.greet(serverKey)
    // Not in the middle of the connection's own opening.
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

  #giveBack(): void {
    if (this.#burst !== undefined) this.#pool.giveBack(this.#burst)
    this.#burst = undefined
  }

  #onClosed(why: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#giveBack()
    this.#handler.onClosed(why)
  }
}

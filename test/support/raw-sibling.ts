// A remote that logs in with the mesh key and then sends whatever the test wants: a sibling that misbehaves, or a probe of
// how a server treats a sibling's frames.

import { DerpConnection } from '#client/derp-connection.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { pingFrame } from '#protocol/frames.ts'
import { clientInfoFrame, readServerKey } from '#protocol/handshake.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { randomBytes } from 'node:crypto'
import { waitUntil } from './process.ts'

export class RawSibling implements AsyncDisposable {
  readonly #pair = newKeyPair()
  readonly #meshKey: Uint8Array
  readonly #connection: DerpConnection
  #greeted = false
  #pongs = 0
  #pings = 0
  isClosed = false

  private constructor(port: number, meshKey: Uint8Array) {
    this.#meshKey = meshKey
    this.#connection = new DerpConnection(
      { host: 'localhost', dialAddress: '127.0.0.1', port, tls: { isInsecure: true } },
      {
        onFrame: (type, buffer, start, end) => this.#onFrame(type, buffer.subarray(start, end)),
        onClosed: () => (this.isClosed = true),
        greet: (serverKey) => this.#greeting(serverKey),
      },
    )
  }

  static async open(port: number, meshKey: Uint8Array): Promise<RawSibling> {
    const sibling = new RawSibling(port, meshKey)
    await sibling.#connection.open()
    await sibling.answered()
    return sibling
  }

  /** Its own key as text. */
  get key(): string {
    return publicKeyText(this.#pair.publicKey)
  }

  /** Sends bytes and waits until the system has taken them. */
  async send(...frames: readonly Uint8Array[]): Promise<void> {
    if (!this.#connection.write(concatBytes(...frames))) await this.#connection.drained()
  }

  /** Waits until the server has read everything so far, and has answered. */
  async answered(): Promise<void> {
    await waitUntil('the server has presented its key', () => this.#greeted)
    const ping = new Uint8Array(8).fill(++this.#pings)
    await this.send(pingFrame(ping))
    await waitUntil('the server answers', () => this.#pongs === this.#pings || this.isClosed)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]()
  }

  #onFrame(type: number, payload: Uint8Array): void {
    if (type === FrameType.pong) this.#pongs++
    if (type !== FrameType.serverKey || this.#greeted) return
    const serverKey = readServerKey(payload)
    const greeting = serverKey && this.#greeting(serverKey)
    if (greeting !== undefined) this.#connection.write(greeting)
  }

  #greeting(serverKey: Uint8Array): Uint8Array | undefined {
    const { privateKey, publicKey } = this.#pair
    const box = new BoxSecret(privateKey).agree(serverKey)
    if (box === undefined) return undefined
    this.#greeted = true
    return clientInfoFrame(publicKey, { meshKey: this.#meshKey }, box, randomBytes(NONCE_BYTES))
  }
}

// A client's part of the login: what it says once it knows the server's key, and whether the server's answer
// is meant for it. Sends nothing itself. The box proves the client's key to this server alone and, with it,
// carries the mesh key; only TLS tells whether this is the right server.

import { randomBytes } from 'node:crypto'
import { BoxSecret, type BoxKey } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { notePreferredFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { clientInfoFrame, isAppName, openServerInfo, type ServerInfo } from '#protocol/handshake.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'
import type { KeyPair } from '#protocol/node-key.ts'

/** Who logs in, and with what claims. */
export interface LoginOptions {
  readonly key: KeyPair
  /** 32 bytes that make this a sibling: it may watch, forward and close peers. */
  readonly meshKey?: Uint8Array
  readonly isProber?: boolean
  /** For the server's statistics: up to 32 printable ASCII characters. */
  readonly appName?: string
  /** Whether the server may ping; such pings are then answered. Default true. */
  readonly canAckPings?: boolean
  /** Says with the login that this server is the client's home. */
  readonly isPreferred?: boolean
  /** Asks with the login to be told who is connected; takes the mesh key. */
  readonly isWatcher?: boolean
}

export class ClientLogin {
  readonly #options: LoginOptions
  readonly #random: (bytes: number) => Uint8Array
  #box: BoxKey | undefined

  /** @throws RangeError naming the option that no server would accept */
  constructor(options: LoginOptions, random: (bytes: number) => Uint8Array = randomBytes) {
    const { meshKey, appName = '' } = options
    if (meshKey !== undefined && meshKey.length !== KEY_BYTES) {
      throw new RangeError(`meshKey: expected ${KEY_BYTES} bytes, got ${meshKey.length}`)
    }
    if (!isAppName(appName)) {
      throw new RangeError(`appName: expected at most 32 printable ASCII characters, got "${appName}"`)
    }
    this.#options = options
    this.#random = random
  }

  /** ClientInfo and what belongs behind it; undefined for a server key with which no box can be made. */
  greeting(serverKey: Uint8Array): Uint8Array | undefined {
    const { key, canAckPings = true, isPreferred = false, isWatcher = false } = this.#options
    this.#box = new BoxSecret(key.privateKey).agree(serverKey)
    if (this.#box === undefined) return undefined
    const info = { ...this.#options, canAckPings }
    const frames = [clientInfoFrame(key.publicKey, info, this.#box, this.#random(NONCE_BYTES))]
    if (isPreferred) frames.push(notePreferredFrame(true))
    if (isWatcher) frames.push(WATCH_CONNS_FRAME)
    return concatBytes(...frames)
  }

  /** What the server says on admission; undefined if it is not for this client, or not ServerInfo at all. */
  openServerInfo(payload: Uint8Array): ServerInfo | undefined {
    return this.#box === undefined ? undefined : openServerInfo(payload, this.#box)
  }
}

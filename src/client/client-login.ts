// The client's part of the login: its first bytes once the server's key is known, and the check of the server's answer.
// Sends nothing itself. The box proves the client's key to this server only, and carries the mesh key; only TLS shows
// whether it is the right server.

import { randomBytes } from 'node:crypto'
import { BoxSecret, type BoxKey } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { notePreferredFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { clientInfoFrame, isAppName, openServerInfo, type ServerInfo } from '#protocol/handshake.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'
import type { KeyPair } from '#protocol/node-key.ts'

/** The key of the client, and what it tells the server about itself. */
export interface LoginOptions {
  readonly key: KeyPair
  /** 32 bytes that make this client a sibling: it may watch, forward and close peers. */
  readonly meshKey?: Uint8Array
  readonly isProber?: boolean
  /** For the server's statistics: up to 32 printable ASCII characters. */
  readonly appName?: string
  /** Whether this client answers the server's pings. Default true. */
  readonly canAckPings?: boolean
  /** Notes with the login that this server is the client's home. */
  readonly isPreferred?: boolean
  /** Subscribes with the login to presence; requires the mesh key. */
  readonly isWatcher?: boolean
}

export class ClientLogin {
  readonly #options: LoginOptions
  readonly #random: (bytes: number) => Uint8Array
  #box: BoxKey | undefined

  /** @throws RangeError that names an option that no server would accept */
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

  /** ClientInfo and the frames that follow it; undefined for an invalid server key. */
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

  /** Reads the server's answer on admission; undefined if it was made for another client or is no ServerInfo. */
  openServerInfo(payload: Uint8Array): ServerInfo | undefined {
    return this.#box === undefined ? undefined : openServerInfo(payload, this.#box)
  }
}

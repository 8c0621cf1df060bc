// One login to a sibling: the first bytes that this relay sends, and what the answer proves. A server whose key is
// already known here (this relay's own, or another sibling's) logs this relay in as usual, but gets no subscription: its
// ServerInfo names the run of the relay, which alone distinguishes a second name of one relay from a copied key. Sends nothing
// itself.

import type { BoxKey, BoxSecret } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { closePeerFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { clientInfoFrame, openServerInfo } from '#protocol/handshake.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'

/** A privileged frame without effect: it closes the sessions of the zero key, which no client can have. */
const CLOSE_NO_PEER_FRAME = closePeerFrame(new Uint8Array(KEY_BYTES))

/** This relay, as it presents itself to siblings. */
export interface MeshIdentity {
  /** Host name, for messages. */
  readonly name: string
  /** Identifies this run of the relay; the same on all its threads. */
  readonly instance: string
  readonly publicKey: Uint8Array
  readonly secret: BoxSecret
}

export interface SiblingLoginOptions {
  readonly meshKey: Uint8Array | undefined
  readonly wantsHomesOnly: boolean
  /** Subscribes to the sibling's presence. */
  readonly wantsPresence: boolean
}

export class SiblingLogin {
  readonly serverKey: Uint8Array
  /** The key is this relay's own, or that of a relay that another link leads to. */
  readonly isDuplicate: boolean
  readonly #box: BoxKey
  #isProven = false
  #instance: string | undefined = undefined

  constructor(serverKey: Uint8Array, isDuplicate: boolean, box: BoxKey) {
    this.serverKey = serverKey
    this.isDuplicate = isDuplicate
    this.#box = box
  }

  /** The sibling has proven that it holds its key. */
  get isProven(): boolean {
    return this.#isProven
  }

  /** The run of the relay that the sibling names; undefined before ServerInfo, and for derper. */
  get instance(): string | undefined {
    return this.#instance
  }

  /**
   * The login and one frame for siblings alone, which ends the session if the mesh key was not accepted: an answer to
   * anything behind it proves that it was.
   */
  greeting(
    { publicKey }: MeshIdentity,
    { meshKey, wantsHomesOnly, wantsPresence }: SiblingLoginOptions,
    random: (bytes: number) => Uint8Array,
  ): Uint8Array {
    const info = { meshKey, canAckPings: false, wantsHomesOnly, wantsInstance: true }
    const login = clientInfoFrame(publicKey, info, this.#box, random(NONCE_BYTES))
    return concatBytes(login, wantsPresence && !this.isDuplicate ? WATCH_CONNS_FRAME : CLOSE_NO_PEER_FRAME)
  }

  /** Returns false if the ServerInfo was not made for this relay. */
  prove(serverInfo: Uint8Array): boolean {
    const info = openServerInfo(serverInfo, this.#box)
    if (info === undefined) return false
    this.#isProven = true
    this.#instance = info.instance
    return true
  }
}

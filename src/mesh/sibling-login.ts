// One login to a sibling: what we say first, and what its answer proves. A server with a key that is known here, our own
// or another sibling's, logs us in all the same, but is told no more: only which run of a relay it says it is tells
// another name of one relay from another machine with a copied key. Sends nothing itself.

import type { BoxKey, BoxSecret } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { closePeerFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { clientInfoFrame, openServerInfo } from '#protocol/handshake.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'

/** Privileged, and without effect: it closes the sessions of a key that nobody can have. */
const CLOSE_NOBODY_FRAME = closePeerFrame(new Uint8Array(KEY_BYTES))

export interface MeshIdentity {
  /** This relay's host name, for messages. */
  readonly name: string
  /** Tells this run of the relay from any other; the same on all its threads. */
  readonly instance: string
  readonly publicKey: Uint8Array
  readonly secret: BoxSecret
}

export interface SiblingLoginOptions {
  readonly meshKey: Uint8Array | undefined
  readonly wantsHomesOnly: boolean
  /** To be told of its keys. */
  readonly wantsPresence: boolean
}

export class SiblingLogin {
  readonly serverKey: Uint8Array
  /** The key is our own, or that of a relay that another link leads to. */
  readonly isDoubtful: boolean
  readonly #box: BoxKey
  #isProven = false
  #instance: string | undefined = undefined

  constructor(serverKey: Uint8Array, isDoubtful: boolean, box: BoxKey) {
    this.serverKey = serverKey
    this.isDoubtful = isDoubtful
    this.#box = box
  }

  /** It has shown that it holds its key. */
  get isProven(): boolean {
    return this.#isProven
  }

  /** Which run of a relay it says it is; undefined before it has said so, and for derper. */
  get instance(): string | undefined {
    return this.#instance
  }

  /** The login, and a frame that ends the session of who is no sibling: who answers what comes behind has accepted us. */
  greeting(
    { publicKey }: MeshIdentity,
    { meshKey, wantsHomesOnly, wantsPresence }: SiblingLoginOptions,
    random: (bytes: number) => Uint8Array,
  ): Uint8Array {
    const info = { meshKey, canAckPings: false, wantsHomesOnly, wantsInstance: true }
    const login = clientInfoFrame(publicKey, info, this.#box, random(NONCE_BYTES))
    return concatBytes(login, wantsPresence && !this.isDoubtful ? WATCH_CONNS_FRAME : CLOSE_NOBODY_FRAME)
  }

  /** False: the ServerInfo is not meant for us. */
  prove(serverInfo: Uint8Array): boolean {
    const info = openServerInfo(serverInfo, this.#box)
    if (info === undefined) return false
    this.#isProven = true
    this.#instance = info.instance
    return true
  }
}

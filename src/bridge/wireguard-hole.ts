// Points one peer of WireGuard to the hole in the NATs that was made from WireGuard's own port, and back to the bridge when the hole
// is gone. Each side does so by itself; WireGuard follows where packets come from.

import type { DirectSide } from './direct-side.ts'
import type { WgControl, WgPeerState } from './wg-control.ts'

export interface HoleOwner {
  readonly side: Pick<DirectSide, 'hole' | 'used'>
  readonly wg: WgControl
  readonly publicKey: Uint8Array
  /** The bridge's, for WireGuard. */
  readonly ownEndpoint: string
  /** The operator has written that endpoint into WireGuard's file. */
  readonly isOwnInFile: boolean
  log(text: string): void
}

/** NATs forget UDP after 30 s. */
const KEEPALIVE_S = 15

export class WireguardHole {
  readonly #owner: HoleOwner
  /** While WireGuard sends through a hole: the keepalive that it had before. */
  #keepalive: number | undefined
  #tx: number | undefined
  #isActing = false

  constructor(owner: HoleOwner) {
    this.#owner = owner
  }

  async look(peer: WgPeerState): Promise<void> {
    if (this.#isActing) return
    const { side, ownEndpoint, isOwnInFile } = this.#owner
    const isFirst = this.#tx === undefined
    if (peer.tx !== this.#tx) side.used()
    this.#tx = peer.tx
    const { hole } = side
    // WireGuard may be there by itself, because the other side's packets came from there first.
    if (hole !== undefined && (hole !== peer.endpoint || !this.isInUse)) {
      this.#keepalive ??= peer.keepalive
      const keepalive = Math.min(this.#keepalive === 0 ? KEEPALIVE_S : this.#keepalive, KEEPALIVE_S)
      await this.#set({ endpoint: hole, keepalive })
      this.#owner.log(`packets go directly, by WireGuard itself, to ${hole}`)
    }
    // Of a bridge that was killed: nobody knows whether its hole still lives.
    const isStale = isFirst && isOwnInFile && peer.endpoint !== ownEndpoint
    if (hole === undefined && (this.#keepalive !== undefined || isStale)) {
      await this.leave()
      this.#owner.log('packets take the relay')
    }
  }

  /** Points WireGuard to the bridge, if it may be in a hole. */
  async leave(): Promise<void> {
    const keepalive = this.#keepalive === undefined ? {} : { keepalive: this.#keepalive }
    this.#keepalive = undefined
    await this.#set({ endpoint: this.#owner.ownEndpoint, ...keepalive })
  }

  get isInUse(): boolean {
    return this.#keepalive !== undefined
  }

  async #set(change: Parameters<WgControl['set']>[1]): Promise<void> {
    this.#isActing = true
    try {
      await this.#owner.wg.set(this.#owner.publicKey, change)
    } catch (error) {
      this.#owner.log(`WireGuard cannot be set: ${String(error)}`)
    } finally {
      this.#isActing = false
    }
  }
}

// What a session keeps of its login: a client that has proven its key, in as few bytes as will do, since most
// of a relay's memory is clients that are silent. Tells watchers and gauges what kind of client it is.

import { PresenceFlag } from '#protocol/frame-type.ts'
import { peerPresentFrame } from '#protocol/frames.ts'
import { Counter, type Counters } from './counters.ts'
import type { Login } from './login.ts'
import type { Link } from './ports.ts'

export class Member {
  /** 32 bytes. */
  readonly key: Uint8Array
  /** The mesh key that it holds: privileged, and not subject to admission or limits. Undefined for a client. */
  readonly meshKey: Uint8Array | undefined
  /** A sibling of another region, which is told of home keys alone. */
  readonly wantsHomesOnly: boolean
  readonly #link: Link
  readonly #flags: number
  readonly #appName: string

  /** @param isNotIdeal the client named another node as its ideal one */
  constructor({ key, meshKey, info }: Login, link: Link, isNotIdeal: boolean) {
    this.key = key
    this.meshKey = meshKey
    this.wantsHomesOnly = this.isMesh && info.wantsHomesOnly
    this.#link = link
    this.#appName = info.appName
    this.#flags =
      (this.isMesh ? PresenceFlag.meshPeer : 0) |
      (info.isProber ? PresenceFlag.prober : 0) |
      (isNotIdeal ? PresenceFlag.notIdeal : 0)
  }

  get isMesh(): boolean {
    return this.meshKey !== undefined
  }

  /** How watchers are told that it is here. */
  get presentFrame(): Uint8Array {
    return peerPresentFrame({
      key: this.key,
      ...this.#link.remote,
      flags: this.#flags === 0 ? PresenceFlag.regular : this.#flags,
      appName: this.#appName,
    })
  }

  /** Adds it to the gauges, or takes it out again. */
  count(counters: Counters, by: 1 | -1): void {
    counters.add(Counter.clientsCurrent, by)
    if ((this.#flags & PresenceFlag.notIdeal) !== 0) counters.add(Counter.clientsNotIdeal, by)
    if ((this.#flags & PresenceFlag.prober) !== 0) counters.add(Counter.clientsProber, by)
    if (this.#link.isWebSocket) counters.add(Counter.clientsWebSocket, by)
  }
}

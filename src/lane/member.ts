// One key of the lane's roster: the WireGuard peer, where it is proven to be, and with whom it may talk. State only: who changes
// it is registrar.ts for what is proven, wireguard-lane.ts for the rest.

import { copyOf } from '#protocol/bytes.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import type { Blake2sMac } from './blake2s.ts'
import type { Elsewhere } from './elsewhere.ts'
import { MacWriter, mac1Of } from './macs.ts'

/** Where datagrams of a peer come from. */
export interface UdpAddress {
  readonly host: string
  readonly port: number
}

/** A message that its owner may receive, because the peer is linked with it: session indexes that the owner chose. */
export interface IndexRoute {
  readonly index: number
  readonly link: Link
  readonly notedAtMs: number
  usedAtMs: number
}

/** `owner` receives what `peer` sends. */
export interface Link {
  readonly owner: Member
  readonly peer: Member
  readonly routes: IndexRoute[]
}

/** A handshake takes some tenths of a millisecond; WireGuard repeats one every five seconds. */
const HANDSHAKES_PER_SECOND = 2
const HANDSHAKES_BURST = 10
/** Handshakes with others that it begins: one for each of its links may begin at once. */
const INITIATIONS_PER_SECOND = 20
const INITIATIONS_BURST = 300
/** Who moves twice within a second, as a port that is tried and given up, is found at once both times. */
const PROBES_PER_SECOND = 1
const PROBES_BURST = 3
/** Packets that come from where the member is not proven to be: enough for the second until it is. */
const UNPROVEN_PER_SECOND = 1_000
const UNPROVEN_BURST = 5_000

export class Member {
  readonly key: Uint8Array
  readonly mac1: Blake2sMac
  readonly macs: MacWriter
  name = ''
  /** By the other one. */
  links: ReadonlyMap<Member, Link> = new Map()
  /** Where its key is proven to be; undefined: it is not on this lane. */
  address: UdpAddress | undefined = undefined
  /** When it gave its last proof. */
  provenAtMs = 0
  /** Of the last proof in the relay's count of activity. */
  activity = 0
  /** On which threads of the relay its key is connected; undefined: on none. */
  elsewhere: Elsewhere | undefined = undefined
  /** Its last packet for a member of the lane came by DERP, and it has not been asked by the lane since, or has not answered. */
  isByRelay = false
  /** Of its last initiation to the relay: an older one is a replay. */
  timestamp: Uint8Array | undefined = undefined
  /** What the lane's key and this one agree on; computed once. */
  shared: Uint8Array | undefined = undefined
  /** An operator has kicked it: it is not registered before. */
  refusedUntilMs = 0
  /** What it can be made to be sent to addresses that are not proven. */
  readonly probes: TokenBucket
  /** The last one. */
  probedAtMs = 0
  readonly handshakes: TokenBucket
  readonly initiations: TokenBucket
  readonly unproven: TokenBucket

  constructor(key: Uint8Array, nowMs: number) {
    this.key = copyOf(key, 0, key.length)
    this.mac1 = mac1Of(key)
    this.macs = new MacWriter(key, this.mac1)
    this.handshakes = new TokenBucket(HANDSHAKES_PER_SECOND, HANDSHAKES_BURST, nowMs)
    this.initiations = new TokenBucket(INITIATIONS_PER_SECOND, INITIATIONS_BURST, nowMs)
    this.probes = new TokenBucket(PROBES_PER_SECOND, PROBES_BURST, nowMs)
    this.unproven = new TokenBucket(UNPROVEN_PER_SECOND, UNPROVEN_BURST, nowMs)
  }

  isAt(host: string, port: number): boolean {
    return this.address?.port === port && this.address.host === host
  }

  isRefused(nowMs: number): boolean {
    return nowMs < this.refusedUntilMs
  }

  /**
   * Packets of other members leave for it by the lane. Where its key is connected besides, its own packets decide: a connection is
   * kept alive also by who does not use it.
   */
  get isReachedHere(): boolean {
    return this.address !== undefined && !(this.isByRelay && this.elsewhere !== undefined)
  }

  /** To the relay's threads, too, it is here rather than there. */
  get isActiveHere(): boolean {
    const latest = this.elsewhere?.latest
    return this.isReachedHere && (latest === undefined || ((this.activity - latest.activity) | 0) >= 0)
  }
}

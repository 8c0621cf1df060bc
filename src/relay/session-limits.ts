// What one session may cost: time limits, rates and bursts, each with its reason, and how much of them a session has
// used. Says when a limit is reached; what follows is the session's part. How much may wait for a session is the
// outbox's.

import { SEND_PACKET_BYTES_MAX } from '#protocol/limits.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import type { TenantShare } from './fair-share.ts'
import type { OutboxLimits } from './outbox.ts'
import { TokenBucket } from './token-bucket.ts'

/** From ServerKey to a complete ClientInfo. Real clients send theirs in the same round trip. */
export const LOGIN_TIMEOUT_MS = 10_000
/** "Not here" answers: three at once, then one a second, as derper's; a sibling has many clients. */
const NOT_HERE = { burst: 3, perSecond: 1 }
const NOT_HERE_TO_SIBLING = { burst: 100, perSecond: 100 }
/** Lookups of keys of other regions for one client: a network's worth at once, then now and then. */
const LOOKUPS = { burst: 50, perSecond: 5 }
/** States of a sibling: one in five seconds, more when its health changes or its links are made. */
const STATES = { burst: 20, perSecond: 2 }
/** Mesh links carry many clients' traffic and may stall for longer, as derper's. */
const MESH_WRITE_TIMEOUT_MS = 30_000
/** No frame is charged for more than the largest packet. */
const RATE_CHARGE_BYTES_MAX = SEND_PACKET_BYTES_MAX

/** `waitingBytesMax` is this thread's share. The transport sees to `tcpUserTimeoutMs`. */
export type SessionLimits = OutboxLimits &
  Pick<RelayLimits, 'waitingBytesMax' | 'writeTimeoutMs' | 'rate' | 'keepAlive' | 'tcpUserTimeoutMs'>

/** What one established session has used of its limits. Rarely used buckets are made when they are first needed. */
export class SessionUsage {
  /** Of the client's tenant; undefined while there are no tenants. */
  #share: TenantShare | undefined = undefined
  /** Of a client with a rate limit. */
  #rate: TokenBucket | undefined = undefined
  #rateLimit: RelayLimits['rate'] = undefined
  readonly #isMesh: boolean
  #writeTimeoutMs = 0
  /** Where in the range of intervals this session's is: 0 to 1. */
  readonly #keepAliveShare: number
  #keepAliveMs = 0
  #nextKeepAliveMs = Infinity
  #notHere: TokenBucket | undefined = undefined
  #lookups: TokenBucket | undefined = undefined
  #states: TokenBucket | undefined = undefined

  /** @param random one byte */
  constructor(limits: SessionLimits, isMesh: boolean, nowMs: number, random: number) {
    this.#isMesh = isMesh
    this.#keepAliveShare = random / 256
    this.setLimits(limits, nowMs)
  }

  /**
   * These limits from now on. A limit that stays the same keeps what has been used of it.
   *
   * @returns whether the rate is higher than before
   */
  setLimits({ rate, keepAlive, writeTimeoutMs }: SessionLimits, nowMs: number): boolean {
    this.#writeTimeoutMs = this.#isMesh ? MESH_WRITE_TIMEOUT_MS : writeTimeoutMs
    this.#keepAliveMs = keepAlive.minMs + this.#keepAliveShare * (keepAlive.maxMs - keepAlive.minMs)
    this.#nextKeepAliveMs = Math.min(this.#nextKeepAliveMs, nowMs + this.#keepAliveMs)
    if (this.#isMesh || isSameRate(rate, this.#rateLimit)) return false
    const isRaised = (rate?.bytesPerSecond ?? Infinity) > (this.#rateLimit?.bytesPerSecond ?? Infinity)
    this.#rateLimit = rate
    this.#rate = rate && new TokenBucket(rate.bytesPerSecond, rate.burstBytes, nowMs)
    return isRaised
  }

  /** The share of its tenant from now on. Returns whether it is another one than before. */
  use(share: TenantShare | undefined): boolean {
    const isOther = share !== this.#share
    this.#share = share
    return isOther
  }

  get isRateLimited(): boolean {
    return this.#rate !== undefined || this.#share?.isLimited === true
  }

  /** Charges a frame. Returns for how many ms the session must not be read; 0: for none. */
  charge(payloadBytes: number, nowMs: number): number {
    const bytes = Math.min(payloadBytes, RATE_CHARGE_BYTES_MAX)
    const forClient = this.#rate?.overdraw(bytes, nowMs) ?? 0
    return Math.max(forClient, this.#share?.charge(bytes, nowMs) ?? 0)
  }

  /** Whether it may be told "not here" now; uses up one of its answers. */
  mayBeToldNotHere(nowMs: number): boolean {
    const { perSecond, burst } = this.#isMesh ? NOT_HERE_TO_SIBLING : NOT_HERE
    this.#notHere ??= new TokenBucket(perSecond, burst, nowMs)
    return this.#notHere.tryTake(1, nowMs)
  }

  /** Whether it may have one more key looked up now; uses up one of its lookups. */
  mayLookUp(nowMs: number): boolean {
    this.#lookups ??= new TokenBucket(LOOKUPS.perSecond, LOOKUPS.burst, nowMs)
    return this.#lookups.tryTake(1, nowMs)
  }

  /** Whether a sibling may tell its state now; uses up one of its messages. */
  mayTellState(nowMs: number): boolean {
    this.#states ??= new TokenBucket(STATES.perSecond, STATES.burst, nowMs)
    return this.#states.tryTake(1, nowMs)
  }

  /** @param sinceMs when the burst in flight was begun; undefined: none is in flight */
  isWriteStalled(sinceMs: number | undefined, nowMs: number): boolean {
    return sinceMs !== undefined && this.#writeTimeoutMs > 0 && nowMs - sinceMs > this.#writeTimeoutMs
  }

  /** Whether a keepalive is due; if so, the next one is due an interval later. */
  takeKeepAlive(nowMs: number): boolean {
    if (nowMs < this.#nextKeepAliveMs) return false
    this.#nextKeepAliveMs += this.#keepAliveMs
    return true
  }
}

function isSameRate(one: RelayLimits['rate'], other: RelayLimits['rate']): boolean {
  return one?.bytesPerSecond === other?.bytesPerSecond && one?.burstBytes === other?.burstBytes
}

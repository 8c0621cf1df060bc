// What one session may cost: time limits, rates and bursts, each with its reason, and how much of them a session has
// used. Says when a limit is reached; what follows is the session's part. How much may wait for a session is the
// outbox's.

import { isSameBudget, NO_BUDGET, type Budget } from '#protocol/budget.ts'
import { HEADER_BYTES, KEY_BYTES, SEND_PACKET_BYTES_MAX } from '#protocol/limits.ts'
import type { RateLimit, RelayLimits } from '#protocol/relay-limits.ts'
import { BudgetBuckets, burstBytesOf } from './budget-buckets.ts'
import type { TenantShare } from './fair-share.ts'
import { keyShareOf, type KeyShare } from './key-share.ts'
import type { OutboxLimits } from './outbox.ts'
import type { Peer } from './peer.ts'
import type { Tally } from './ports.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'

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
/** Of a RecvPacket frame, besides the packet. */
const PACKET_OVERHEAD_BYTES = HEADER_BYTES + KEY_BYTES
/** No frame is charged for more than the largest packet. */
const RATE_CHARGE_BYTES_MAX = SEND_PACKET_BYTES_MAX

/** `waitingBytesMax` is this thread's share. The transport sees to `tcpUserTimeoutMs`. */
export type SessionLimits = OutboxLimits &
  Pick<
    RelayLimits,
    'waitingBytesMax' | 'writeTimeoutMs' | 'rate' | 'budgets' | 'addresses' | 'keepAlive' | 'tcpUserTimeoutMs'
  >

/** What clients have together: `Tenants`. */
interface CommonShares {
  /** Of the key's tenant; undefined while there are no tenants. */
  shareOf(key: Uint8Array): TenantShare | undefined
  /** Of all clients. */
  readonly relay: BudgetBuckets | undefined
}

/** What one established session has used of its limits. Rarely used buckets are made when they are first needed. */
export class SessionUsage {
  /** Of its tenant; undefined while there are no tenants. */
  tenant: TenantShare | undefined = undefined
  /** Of what was sent to its client, what its tenants have been charged for. */
  #countedBytes = 0
  /** Of all clients. */
  #relay: BudgetBuckets | undefined = undefined
  #key: KeyShare | undefined = undefined
  #keyBudget = NO_BUDGET
  /** Of keys about which admission says nothing. */
  #usualKeyBudget = NO_BUDGET
  /** Its frames are to be charged. */
  isRateLimited = false
  /** What admission says of its key; undefined: nothing. */
  ownBudget: Budget | undefined = undefined
  /** Of its connection alone. */
  #connection: BudgetBuckets | undefined = undefined
  /** Of a client with a rate limit. */
  #rate: TokenBucket | undefined = undefined
  #rateLimit: RelayLimits['rate'] = undefined
  readonly #isMesh: boolean
  #writeTimeoutMs = 0
  /** Where in the range of intervals this session's is: 0 to 1. */
  readonly #keepAliveShare: number
  #keepAliveMs = 0
  /** On the clock of the session. */
  nextKeepAliveMs = Infinity
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
   * @returns whether its client may be read on
   */
  setLimits({ rate, budgets, keepAlive, writeTimeoutMs }: SessionLimits, nowMs: number): boolean {
    this.#writeTimeoutMs = this.#isMesh ? MESH_WRITE_TIMEOUT_MS : writeTimeoutMs
    this.#keepAliveMs = keepAlive.minMs + this.#keepAliveShare * (keepAlive.maxMs - keepAlive.minMs)
    this.nextKeepAliveMs = Math.min(this.nextKeepAliveMs, nowMs + this.#keepAliveMs)
    if (this.#isMesh) return false
    this.#usualKeyBudget = budgets.key
    const before = this.#connection
    this.#connection = BudgetBuckets.of(budgets.connection, nowMs, before)
    const isOther = this.#connection !== before
    if (isSameRate(rate, this.#rateLimit)) return isOther
    const isRaised = (rate?.bytesPerSecond ?? Infinity) > (this.#rateLimit?.bytesPerSecond ?? Infinity)
    this.#rateLimit = rate
    this.#rate = rate && new TokenBucket(rate.bytesPerSecond, rate.burstBytes, nowMs)
    return isRaised || isOther
  }

  /**
   * Takes what a client has together with others. Returns whether that is something else than before.
   *
   * @param peer undefined before it has registered
   */
  share(common: CommonShares, key: Uint8Array, peer: Peer | undefined): boolean {
    const { tenant } = this
    const relay = this.#relay
    const budget = this.#keyBudget
    this.tenant = common.shareOf(key)
    this.#relay = common.relay
    this.#keyBudget = this.ownBudget ?? this.#usualKeyBudget
    this.#key = peer && keyShareOf(peer, this.#keyBudget)
    this.isRateLimited = this.#isLimited
    return this.tenant !== tenant || this.#relay !== relay || !isSameBudget(this.#keyBudget, budget)
  }

  /** Charges its tenant for what was sent to its client since the last time: the frames of packets, not each when it is sent. */
  countSent({ packets, bytes }: Tally): void {
    const sentBytes = bytes + packets * PACKET_OVERHEAD_BYTES
    this.tenant?.addSent(sentBytes - this.#countedBytes)
    this.#countedBytes = sentBytes
  }

  get #isLimited(): boolean {
    const isAlone = this.#rate !== undefined || this.#connection !== undefined
    return (
      isAlone || this.#key?.isLimited === true || this.tenant?.isLimited === true || this.#relay !== undefined
    )
  }

  /** Charges a frame. Returns for how many ms the session must not be read; 0: for none. */
  charge(payloadBytes: number, nowMs: number): number {
    const bytes = Math.min(payloadBytes, RATE_CHARGE_BYTES_MAX)
    const forRate = this.#rate?.overdraw(bytes, nowMs) ?? 0
    const forConnection = this.#connection?.charge(bytes, nowMs) ?? 0
    const forKey = this.#key?.charge(bytes, nowMs) ?? 0
    const forTenant = this.tenant?.charge(bytes, nowMs) ?? 0
    const forRelay = this.#relay?.charge(bytes, nowMs) ?? 0
    return Math.max(forRate, forConnection, forKey, forTenant, forRelay)
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
    if (nowMs < this.nextKeepAliveMs) return false
    this.nextKeepAliveMs += this.#keepAliveMs
    return true
  }
}

/**
 * What a client is told of its limits: the least bytes of its connection and its key; undefined: nothing.
 *
 * @param ownBudget what admission says of its key
 */
export function announcedRate(
  { rate, budgets: { areAnnounced, connection, key } }: Pick<SessionLimits, 'rate' | 'budgets'>,
  ownBudget: Budget | undefined,
): RateLimit | undefined {
  const bytesPerSecond = Math.min(connection.bytesPerSecond, (ownBudget ?? key).bytesPerSecond)
  if (!areAnnounced) return undefined
  if (rate !== undefined && rate.bytesPerSecond <= bytesPerSecond) return rate
  const burstBytes = burstBytesOf({ bytesPerSecond })
  return Number.isFinite(bytesPerSecond) ? { bytesPerSecond, burstBytes } : undefined
}

function isSameRate(one: RelayLimits['rate'], other: RelayLimits['rate']): boolean {
  return one?.bytesPerSecond === other?.bytesPerSecond && one?.burstBytes === other?.burstBytes
}

// What one session may cost: time limits, rates and bursts, each with its reason. What is done when one is reached is
// the session's affair; how much may wait for it, the outbox's.

import { SEND_PACKET_BYTES_MAX } from '#protocol/limits.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import type { OutboxLimits } from './outbox.ts'
import { TokenBucket } from './token-bucket.ts'

/** From ServerKey to a complete ClientInfo. Real clients send theirs in the same round trip. */
export const LOGIN_TIMEOUT_MS = 10_000
/** Answers that a destination is not here: three at once, then one a second, as derper's; a sibling has many clients. */
const NOT_HERE = { burst: 3, perSecond: 1 }
const NOT_HERE_TO_SIBLING = { burst: 100, perSecond: 100 }
/** Keys of other regions that a client may have looked for: a network's worth at once, then now and then. */
const LOOK_UPS = { burst: 50, perSecond: 5 }
/** Mesh links carry many clients' traffic and may stall for longer, as derper's. */
export const MESH_WRITE_TIMEOUT_MS = 30_000
/** No frame is charged for more than the largest packet. */
export const RATE_CHARGE_BYTES_MAX = SEND_PACKET_BYTES_MAX

/** `waitingBytesMax` is this thread's share. */
export type SessionLimits = OutboxLimits &
  Pick<RelayLimits, 'waitingBytesMax' | 'writeTimeoutMs' | 'rate' | 'keepAlive'>

/** @param random one byte */
export function drawKeepAliveMs({ keepAlive }: SessionLimits, random: Uint8Array): number {
  return keepAlive.minMs + ((random[0] ?? 0) / 256) * (keepAlive.maxMs - keepAlive.minMs)
}

/** How often one session may cause what costs others something; buckets are made when first needed. */
export class Allowances {
  readonly #isMesh: boolean
  #notHere: TokenBucket | undefined = undefined
  #lookUps: TokenBucket | undefined = undefined

  constructor(isMesh: boolean) {
    this.#isMesh = isMesh
  }

  /** Whether it may be told "not here" now; takes one of its answers. */
  mayHearNotHere(nowMs: number): boolean {
    const { perSecond, burst } = this.#isMesh ? NOT_HERE_TO_SIBLING : NOT_HERE
    this.#notHere ??= new TokenBucket(perSecond, burst, nowMs)
    return this.#notHere.tryTake(1, nowMs)
  }

  /** Whether it may have one more key looked for now; takes one of its questions. */
  mayLookUp(nowMs: number): boolean {
    this.#lookUps ??= new TokenBucket(LOOK_UPS.perSecond, LOOK_UPS.burst, nowMs)
    return this.#lookUps.tryTake(1, nowMs)
  }
}

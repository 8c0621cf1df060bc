// The limit that a server may set for a client's packets in ServerInfo: a token bucket. Excess packets are dropped here
// instead of at the server. Real servers seldom set one. Time is passed in.

import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'

/** Tokens for the SendPacket frame around a packet. */
const FRAME_COST = HEADER_BYTES + KEY_BYTES

export class SendLimiter {
  readonly #bucket: TokenBucket

  /** The bucket is full at first. */
  constructor(bytesPerSecond: number, burstBytes: number, nowMs: number) {
    this.#bucket = new TokenBucket(bytesPerSecond, burstBytes, nowMs)
  }

  /** Whether a packet may be sent now; if so, takes its tokens. */
  admits(packetBytes: number, nowMs: number): boolean {
    return this.#bucket.tryTake(FRAME_COST + packetBytes, nowMs)
  }
}

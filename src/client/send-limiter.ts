// The limit that a server may set for a client's packets in ServerInfo: a token bucket. Excess packets are dropped here
// instead of at the server. Real servers seldom set one. Time is passed in.

import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'

/** Tokens for the SendPacket frame around a packet. */
const FRAME_COST = HEADER_BYTES + KEY_BYTES

export class SendLimiter {
  readonly #bytesPerMs: number
  readonly #burstBytes: number
  #tokens: number
  #atMs: number

  /** The bucket is full at first. */
  constructor(bytesPerSecond: number, burstBytes: number, nowMs: number) {
    this.#bytesPerMs = bytesPerSecond / 1_000
    this.#burstBytes = burstBytes
    this.#tokens = burstBytes
    this.#atMs = nowMs
  }

  /** Whether a packet may be sent now; if so, takes its tokens. */
  admits(packetBytes: number, nowMs: number): boolean {
    this.#tokens = Math.min(this.#burstBytes, this.#tokens + (nowMs - this.#atMs) * this.#bytesPerMs)
    this.#atMs = nowMs
    const cost = FRAME_COST + packetBytes
    if (cost > this.#tokens) return false
    this.#tokens -= cost
    return true
  }
}

// Round trip, jitter and loss of a sibling link, measured by pings that travel among its packets, and corrected by what the
// kernel has measured below. Sends nothing itself and has no timer: the link asks for a ping when one is due. Runs on the
// relay thread.

import { readU32, writeU32 } from '#protocol/bytes.ts'
import { pingFrame } from '#protocol/frames.ts'
import { PING_BYTES } from '#protocol/limits.ts'

/** Weights of the newest answer: an eighth in the mean, a sixteenth in its deviation (RFC 6298 §2, RFC 3550 §6.4.1). */
const RTT_WEIGHT = 1 / 8
const JITTER_WEIGHT = 1 / 16
/** A later answer counts as lost. */
const PONG_TIMEOUT_MS = 3_000
/** Pings that the loss ratio covers: five minutes at one ping in five seconds. */
const HISTORY_MAX = 60
/** Answers that the smallest and the median round trip cover: a minute. */
const WINDOW_MAX = 12
/**
 * A ping also takes the time of two processes that wake, decrypt and encrypt: 0.7 ms at least on two busy processors. The kernel
 * answers without them, and its smallest round trip tells how much that is. The kernel remembers for five minutes and these pings
 * for one: after the path has become longer, the difference is of the path, so no more than this is taken for the processes.
 */
const OWN_MS_MAX = 2

export interface Quality {
  /** Smoothed; undefined before the first answer. */
  readonly rttMs: number | undefined
  /** The smallest of the last WINDOW_MAX answers: the path without queues. Undefined before the first answer. */
  readonly rttMinMs: number | undefined
  /** The median of the same answers: the path as packets find it. */
  readonly rttMedianMs: number | undefined
  readonly jitterMs: number
  /** Lost pings among the last HISTORY_MAX, 0–1. */
  readonly lossRatio: number
  /** Pings without an answer since the last answer. */
  readonly silentPings: number
}

export class LinkQuality {
  #sequence = 0
  #sentMs: number | undefined = undefined
  #rttMs: number | undefined = undefined
  #lastRttMs = 0
  #jitterMs = 0
  #silentPings = 0
  /** The kernel's smallest round trip; 0 or less: not known. */
  #kernelMs = 0
  readonly #answered: boolean[] = []
  /** Oldest first. */
  readonly #window: number[] = []

  /** The next ping as a frame. A ping still open counts as lost. */
  ping(nowMs: number): Uint8Array {
    if (this.#sentMs !== undefined) this.#note(false)
    this.#sentMs = nowMs
    this.#sequence = (this.#sequence + 1) >>> 0
    const payload = new Uint8Array(PING_BYTES)
    writeU32(payload, 0, this.#sequence)
    return pingFrame(payload)
  }

  /** The open ping is not measured: it travels with a login, and its answer waits for the login. */
  disregard(): void {
    this.#sentMs = undefined
  }

  /**
   * Takes a Pong's payload. Ignores it if it answers no open ping.
   *
   * @param kernelMs the smallest round trip that the kernel has seen; 0 or less if it is not known
   */
  pong(payload: Uint8Array, nowMs: number, kernelMs = 0): void {
    if (this.#sentMs === undefined || payload.length < PING_BYTES || readU32(payload, 0) !== this.#sequence)
      return
    const rttMs = nowMs - this.#sentMs
    if (rttMs > PONG_TIMEOUT_MS) return this.#note(false)
    this.#note(true)
    if (this.#rttMs === undefined) {
      this.#rttMs = rttMs
    } else {
      this.#jitterMs += JITTER_WEIGHT * (Math.abs(rttMs - this.#lastRttMs) - this.#jitterMs)
      this.#rttMs += RTT_WEIGHT * (rttMs - this.#rttMs)
    }
    this.#lastRttMs = rttMs
    this.#kernelMs = kernelMs
    this.#window.push(rttMs)
    if (this.#window.length > WINDOW_MAX) this.#window.shift()
  }

  /** Pings without an answer since the last answer. */
  get silentPings(): number {
    return this.#silentPings
  }

  read(): Quality {
    const lost = this.#answered.reduce((sum, isAnswered) => sum + (isAnswered ? 0 : 1), 0)
    const sorted = this.#window.toSorted((a, b) => a - b)
    const ownMs = this.#ownMs(sorted[0])
    const path = (ms: number | undefined): number | undefined => ms && ms - ownMs
    return {
      rttMs: path(this.#rttMs),
      rttMinMs: path(sorted[0]),
      rttMedianMs: path(medianOf(sorted)),
      jitterMs: this.#jitterMs,
      lossRatio: this.#answered.length === 0 ? 0 : lost / this.#answered.length,
      silentPings: this.#silentPings,
    }
  }

  /** What of each answer's time is of the two processes. */
  #ownMs(smallestMs: number | undefined): number {
    if (smallestMs === undefined || this.#kernelMs <= 0) return 0
    return Math.min(OWN_MS_MAX, Math.max(0, smallestMs - this.#kernelMs))
  }

  #note(isAnswered: boolean): void {
    this.#sentMs = undefined
    this.#silentPings = isAnswered ? 0 : this.#silentPings + 1
    this.#answered.push(isAnswered)
    if (this.#answered.length > HISTORY_MAX) this.#answered.shift()
  }
}

/** @param sorted ascending */
function medianOf(sorted: readonly number[]): number | undefined {
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2
}

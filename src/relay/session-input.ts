// What arrives on one session's link. Read at once as a rule; while the session is not read (it waits for admission,
// for its rate, or for room at another thread) what the transport had read already is kept, and the link is paused. Not
// the rules for frames: those are the session's.
//
// Contract: bytes are read in the order in which they arrived, and no frame after one at which the session stopped.

import { FrameReader, type FrameSink } from '#protocol/frame-reader.ts'
import { Counter } from './counters.ts'
import { EndReason } from './end-reason.ts'
import { PausedInput } from './paused-input.ts'
import type { Link } from './ports.ts'
import type { SessionContext } from './session-context.ts'

/**
 * What a client may send before it is admitted: a few control frames. Up to this its link is read, so that the end of
 * the connection is noticed and admission is not asked in vain.
 */
const EARLY_BYTES_MAX = 4_096

/** The session whose input this is; it consumes the frames. */
export interface InputOwner extends FrameSink {
  readonly isEnded: boolean
  /** It waits for its login's turn or for admission. */
  readonly isAdmitting: boolean
  /** Why its `onHeader` has rejected a frame. */
  readonly rejection: EndReason
  end(reason: EndReason): void
}

export class SessionInput {
  readonly #owner: InputOwner
  readonly #link: Link
  readonly #context: SessionContext
  readonly #frames: FrameReader
  /** What has arrived and is not read for now. */
  #paused: PausedInput | undefined = undefined
  /** Not read until a callback; see `pauseUntil`. */
  isThrottled = false
  /** Ends the last pause for the rate; has no effect if that is over. */
  #endRatePause: (() => void) | undefined = undefined

  constructor(owner: InputOwner, link: Link, context: SessionContext) {
    this.#owner = owner
    this.#link = link
    this.#context = context
    this.#frames = new FrameReader(owner, context.pool)
  }

  /** Bytes kept: of a frame that has not arrived whole, or not read for now. */
  get keptBytes(): number {
    return Math.max(this.#frames.keptBytes, this.#paused?.bytes ?? 0)
  }

  /** Bytes have arrived: chunk[start, end), borrowed. */
  receive(chunk: Buffer, start: number, end: number): void {
    this.#context.counters.add(Counter.wireBytesIn, end - start)
    if (this.#paused === undefined) return this.#read(chunk, start, end)
    // What the transport had read before the pause joins the input that waits.
    if (this.#paused.add(chunk, start, end)) this.#pauseLink()
    else this.#owner.end(EndReason.inputOverflow)
  }

  /** Stops reading until the callback that `arrange` is given is called. */
  pauseUntil(arrange: (resume: () => void) => void): void {
    if (this.isThrottled) return
    this.isThrottled = true
    let isOver = false
    arrange(() => {
      // Whoever arranges it may call more than once, and the second time is in another pause.
      if (isOver) return
      isOver = true
      this.isThrottled = false
      if (!this.#owner.isEnded) this.#resume()
    })
  }

  /** Stops reading for so long, because the client is over its rate; 0: it is not. */
  pauseForRate(waitMs: number): void {
    if (waitMs === 0 || this.isThrottled) return
    this.#context.counters.add(Counter.rateLimitWaits, 1)
    this.pauseUntil((resume) => {
      this.#endRatePause = resume
      this.#context.later(waitMs, resume)
    })
  }

  /** Reads on in the next turn, if the rate is what it waits for: what the client owes, it owes at the old rate. */
  endRatePause(): void {
    if (this.#endRatePause !== undefined) this.#context.later(0, this.#endRatePause)
    this.#endRatePause = undefined
  }

  /** The client is admitted: reads what it has sent meanwhile. */
  admitted(): void {
    if (this.#paused !== undefined) this.#resume()
  }

  /** The session has ended: gives back what is kept. Nothing more is read. */
  close(): void {
    this.#frames.close()
    this.#dropPaused()
  }

  #read(chunk: Buffer, start: number, end: number): void {
    // What other threads wrote before these bytes were sent must be known before the bytes are read.
    this.#context.readThreads()
    if (this.#owner.isEnded) return
    const stoppedAt = this.#frames.feed(chunk, start, end)
    if (this.#owner.isEnded) return
    if (this.#frames.isEnded) return this.#owner.end(this.#owner.rejection)
    if (!this.#isPaused) return this.#dropPaused()
    if (this.#paused === undefined) this.#paused = new PausedInput(this.#context.pool, chunk, stoppedAt, end)
    else this.#paused.from = stoppedAt
    this.#pauseLink()
  }

  /** While a client waits for admission its link is read on for a while. */
  #pauseLink(): void {
    const isEarly = this.#owner.isAdmitting && !this.isThrottled
    if (!isEarly || (this.#paused?.bytes ?? 0) > EARLY_BYTES_MAX) this.#link.pause()
  }

  get #isPaused(): boolean {
    return this.isThrottled || this.#owner.isAdmitting
  }

  /** Reads the input that waits, and then the link. */
  #resume(): void {
    const paused = this.#paused
    if (paused !== undefined) this.#read(paused.buffer, paused.from, paused.to)
    if (!this.#owner.isEnded && !this.#isPaused) this.#link.resume()
  }

  #dropPaused(): void {
    this.#paused?.close()
    this.#paused = undefined
  }
}

// The news that waits for one neighbour because its crossing has no room, in order; and who is here, for a neighbour
// that has to be told of everybody: one that has just been started, or one that has not listened for so long that its
// news was given up. They are told one by one as room appears, as they are at that moment.
//
// Contract: bounded, whatever the neighbour does. More than PRESENCE_FRAMES_MAX frames do not wait: all are given up, and when the
// neighbour reads again it is told of everybody anew. What it knew of and is not told of again has left meanwhile.

import type { RingWriter } from './ring.ts'
import { allToldFrame, homeFrame, introductionFrame, presenceFrame } from './thread-frames.ts'
import type { Peer } from '#relay/peer.ts'

/** Who reads at all has room within milliseconds; news of a hundred bytes and an object each, so some 5 MB. */
export const PRESENCE_FRAMES_MAX = 16_384
/** Who has this much unread is not told of everybody: it might not be reading. */
const INTRODUCTION_BEYOND_BYTES = 65_536

export class PresenceQueue {
  readonly #writer: RingWriter
  readonly #everybody: () => readonly Peer[]
  #frames: Uint8Array[] = []
  /** News was given up: everybody is to be introduced when there is room. */
  #isGivenUp = false
  /** Who is yet to be introduced, from `#at` on. */
  #unknown: readonly Peer[] | undefined = undefined
  #at = 0

  /** @param everybody the keys that are connected to this thread now */
  constructor(writer: RingWriter, everybody: () => readonly Peer[]) {
    this.#writer = writer
    this.#everybody = everybody
  }

  /** Whether something waits here: then no packet may overtake it. */
  get isWaiting(): boolean {
    return this.#frames.length > 0 || this.#unknown !== undefined || this.#isGivenUp
  }

  tell(frame: Uint8Array): void {
    if (this.#isGivenUp) return
    if (this.#frames.length === 0 && put(this.#writer, frame)) return
    if (this.#frames.length >= PRESENCE_FRAMES_MAX) this.#giveUp()
    else this.#frames.push(frame)
  }

  /** Tells of everybody who is here. */
  introduce(): void {
    this.#isGivenUp = false
    this.#unknown = this.#everybody()
    this.#at = 0
    this.tell(introductionFrame())
    this.retry()
  }

  /** Writes what fits now; false: nothing did. */
  retry(): boolean {
    if (this.#isGivenUp) {
      if (this.#writer.holdsMoreThan(INTRODUCTION_BEYOND_BYTES)) return false
      this.introduce()
      return true
    }
    const waits = this.#frames.findIndex((frame) => !put(this.#writer, frame))
    if (waits === 0) return false
    this.#frames = waits < 0 ? [] : this.#frames.slice(waits)
    if (this.#frames.length === 0) this.#introduceSome()
    return true
  }

  #giveUp(): void {
    this.#frames = []
    this.#unknown = undefined
    this.#isGivenUp = true
  }

  /** Who came or left since they were listed has been told of by itself. */
  #introduceSome(): void {
    const unknown = this.#unknown
    if (unknown === undefined) return
    while (this.#at < unknown.length) {
      const { active, key, isHomeHere } = unknown[this.#at] as Peer
      if (active !== undefined) {
        if (!put(this.#writer, presenceFrame(active.presentFrame, active.claim))) return
        this.tell(homeFrame(key, isHomeHere))
      }
      this.#at++
      if (this.#frames.length > 0) return
    }
    this.#unknown = undefined
    this.tell(allToldFrame())
  }
}

/** Writes a frame, unless it does not fit. */
function put(writer: RingWriter, frame: Uint8Array): boolean {
  const at = writer.reserve(frame.length)
  if (at < 0) return false
  writer.bytes.set(frame, at)
  writer.publish()
  return true
}

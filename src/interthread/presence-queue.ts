// The presence frames that wait for one other thread because its ring has no room, in order; and the full presence sync
// for a thread that must be told of every key: one that has just been started, or one that has not read for so long
// that its frames were given up. The keys of a sync are written one by one as room appears, as they are at that moment.
//
// Contract: bounded, whatever the other thread does. More than PRESENCE_FRAMES_MAX frames do not wait: all are given
// up, and when the other thread reads again a full sync begins. A key that it knew and that the sync does not name has
// left.

import type { ConnectedKey } from '#relay/ports.ts'
import type { RingWriter } from './ring.ts'
import { homeFrame, presenceFrame, syncEndFrame, syncStartFrame } from './thread-frames.ts'

/**
 * A thread that reads at all has room within milliseconds; frames of a hundred bytes and an object each, so some 5 MB.
 */
export const PRESENCE_FRAMES_MAX = 16_384
/** While a thread has this much unread no full sync is begun for it: it might not be reading. */
const SYNC_UNREAD_BYTES_MAX = 65_536

export class PresenceQueue {
  readonly #writer: RingWriter
  readonly #connectedKeys: () => readonly ConnectedKey[]
  #frames: Uint8Array[] = []
  /** Frames were given up: a full sync is due when there is room. */
  #isGivenUp = false
  /** The keys of the full sync under way; those from `#at` on are yet to be named. */
  #unsynced: readonly ConnectedKey[] | undefined = undefined
  #at = 0

  /** @param connectedKeys the keys that are connected to this thread now */
  constructor(writer: RingWriter, connectedKeys: () => readonly ConnectedKey[]) {
    this.#writer = writer
    this.#connectedKeys = connectedKeys
  }

  /** Whether something waits here: then no packet may overtake it. */
  get isWaiting(): boolean {
    return this.#frames.length > 0 || this.#unsynced !== undefined || this.#isGivenUp
  }

  tell(frame: Uint8Array): void {
    if (this.#isGivenUp) return
    if (this.#frames.length === 0 && put(this.#writer, frame)) return
    if (this.#frames.length >= PRESENCE_FRAMES_MAX) this.#giveUp()
    else this.#frames.push(frame)
  }

  /** Begins a full presence sync. */
  startSync(): void {
    this.#isGivenUp = false
    this.#unsynced = this.#connectedKeys()
    this.#at = 0
    this.tell(syncStartFrame())
    this.retry()
  }

  /** Writes what fits now. Returns false if nothing did. */
  retry(): boolean {
    if (this.#isGivenUp) {
      if (this.#writer.holdsMoreThan(SYNC_UNREAD_BYTES_MAX)) return false
      this.startSync()
      return true
    }
    const waits = this.#frames.findIndex((frame) => !put(this.#writer, frame))
    if (waits === 0) return false
    this.#frames = waits < 0 ? [] : this.#frames.slice(waits)
    if (this.#frames.length === 0) this.#syncSome()
    return true
  }

  #giveUp(): void {
    this.#frames = []
    this.#unsynced = undefined
    this.#isGivenUp = true
  }

  /** Keys that came or left since they were listed have frames of their own. */
  #syncSome(): void {
    const unsynced = this.#unsynced
    if (unsynced === undefined) return
    while (this.#at < unsynced.length) {
      const { active, key, isHomeHere } = unsynced[this.#at] as ConnectedKey
      if (active !== undefined) {
        if (!put(this.#writer, presenceFrame(active.presentFrame, active.activity))) return
        this.tell(homeFrame(key, isHomeHere))
      }
      this.#at++
      if (this.#frames.length > 0) return
    }
    this.#unsynced = undefined
    this.tell(syncEndFrame())
  }
}

/** Writes a frame. Returns false if it does not fit. */
function put(writer: RingWriter, frame: Uint8Array): boolean {
  const at = writer.reserve(frame.length)
  if (at < 0) return false
  writer.bytes.set(frame, at)
  writer.publish()
  return true
}

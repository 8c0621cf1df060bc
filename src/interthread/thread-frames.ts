// What relay threads tell each other, as frames: who connects and leaves, who is at home, and packets. Frames like the
// mesh's, where it has them; the rest are never on a wire. Written and read by `thread-links.ts`.

import { readU32, writeU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import type { RingSink } from './ring.ts'

/** What has no frame in the mesh, and is never on a wire. News: 32 B key, 4 B count of activity. */
const CLAIM = 0x80
const CLAIM_BYTES = 4
/** That was everybody who is here: 32 zeros. */
const ALL_TOLD = 0x81
/** 32 B destination key, 32 B source key, packet: the frame that leaves begins within the first key, and lies ready. */
export const PACKET = 0x82
/** Whether a client there has noted this relay as its home: 32 B key, one byte. */
const HOME = 0x83

/** What follows, until ALL_TOLD, is everybody: who was here and is not told of now has left. 32 zeros. */
const INTRODUCTION = 0x84

/** A packet's frame when the packet is empty. */
export const PACKET_FRAME_BYTES_MIN = HEADER_BYTES + 2 * KEY_BYTES

/** What a thread hears from its neighbours. */
export interface ThreadEvents {
  presentElsewhere(thread: number, key: Uint8Array, presentFrame: Uint8Array, claim: number): void
  claimedElsewhere(thread: number, key: Uint8Array, claim: number): void
  goneElsewhere(thread: number, key: Uint8Array): void
  homeElsewhere(thread: number, key: Uint8Array, isHome: boolean): void
  /** Everybody there is told of until `introduced`, who was known already, too. */
  introducing(thread: number): void
  introduced(thread: number): void
  closePeer(key: Uint8Array): void
  /** Destination key, source key and packet, borrowed. */
  packet(buffer: Buffer, start: number, end: number): void
}

/** A PeerPresent frame with the count of activity behind it. */
export function presenceFrame(presentFrame: Uint8Array, claim: number): Uint8Array {
  const frame = Buffer.alloc(presentFrame.length + CLAIM_BYTES)
  frame.set(presentFrame)
  writeU32(frame, 1, frame.length - HEADER_BYTES)
  writeU32(frame, presentFrame.length, claim >>> 0)
  return frame
}

/** That the key's session on this thread became active, by the common count of activity. */
export function claimFrame(key: Uint8Array, claim: number): Uint8Array {
  const frame = keyFrame(CLAIM, key, CLAIM_BYTES)
  writeU32(frame, HEADER_BYTES + KEY_BYTES, claim >>> 0)
  return frame
}

/** That the key's last session on this thread has ended. */
export function goneFrame(key: Uint8Array): Uint8Array {
  return keyFrame(FrameType.peerGone, key, 0)
}

/** That all sessions of the key shall be ended. */
export function closeFrame(key: Uint8Array): Uint8Array {
  return keyFrame(FrameType.closePeer, key, 0)
}

export function introductionFrame(): Uint8Array {
  return keyFrame(INTRODUCTION, new Uint8Array(KEY_BYTES), 0)
}

export function allToldFrame(): Uint8Array {
  return keyFrame(ALL_TOLD, new Uint8Array(KEY_BYTES), 0)
}

/** That a client there has noted this relay as its home, or no more. */
export function homeFrame(key: Uint8Array, isHome: boolean): Uint8Array {
  const frame = keyFrame(HOME, key, 1)
  frame[HEADER_BYTES + KEY_BYTES] = isHome ? 1 : 0
  return frame
}

function keyFrame(type: number, key: Uint8Array, moreBytes: number): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + KEY_BYTES + moreBytes)
  frame[0] = type
  writeU32(frame, 1, frame.length - HEADER_BYTES)
  frame.set(key, HEADER_BYTES)
  return frame
}

/** Reads one neighbour's frames. What a thread of our own writes is trusted. */
export class ThreadFrameReader implements RingSink {
  readonly #thread: number
  readonly #listener: () => ThreadEvents
  readonly #allTold: () => void

  constructor(thread: number, listener: () => ThreadEvents, allTold: () => void) {
    this.#thread = thread
    this.#listener = listener
    this.#allTold = allTold
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    const listener = this.#listener()
    if (type === PACKET) {
      listener.packet(buffer, start, end)
      return
    }
    const key = Uint8Array.prototype.slice.call(buffer, start, start + KEY_BYTES)
    const claim = readU32(buffer, end - CLAIM_BYTES) | 0
    if (type === FrameType.peerPresent) {
      const presentFrame = new Uint8Array(buffer.subarray(start - HEADER_BYTES, end - CLAIM_BYTES))
      writeU32(presentFrame, 1, presentFrame.length - HEADER_BYTES)
      listener.presentElsewhere(this.#thread, key, presentFrame, claim)
    } else if (type === CLAIM) {
      listener.claimedElsewhere(this.#thread, key, claim)
    } else if (type === FrameType.peerGone) {
      listener.goneElsewhere(this.#thread, key)
    } else if (type === HOME) {
      listener.homeElsewhere(this.#thread, key, buffer[end - 1] === 1)
    } else if (type === FrameType.closePeer) {
      listener.closePeer(key)
    } else if (type === INTRODUCTION) {
      listener.introducing(this.#thread)
    } else if (type === ALL_TOLD) {
      listener.introduced(this.#thread)
      this.#allTold()
    }
  }
}

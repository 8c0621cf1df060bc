// What relay threads write to each other, as frames: which keys connect, become active and leave, which clients are at
// home, and packets. Frames like the mesh's, where it has them; the others never appear on a wire. Written by
// `thread-links.ts`, read here.

import { readU32, writeU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import type { RemotePresenceListener, ThreadListener, ThreadPacketListener } from '#relay/ports.ts'
import type { RingSink } from './ring.ts'

// Types that the mesh has not.
/** The key's session there became active: 32 B key, 4 B activity number. */
const ACTIVE = 0x80
const ACTIVITY_BYTES = 4
/** The end of a full presence sync: 32 zeros. */
const SYNC_END = 0x81
/** 32 B destination key, 32 B source key, packet: the frame that leaves begins within the first key, and lies ready. */
export const PACKET = 0x82
/** Whether a client there has noted this relay as its home: 32 B key, one byte. */
const HOME = 0x83
/** As PACKET, of a packet that a sibling forwarded. */
export const FORWARDED_PACKET = 0x85
/** A drain is about to end the key's session there: 32 B key. */
const LEAVING = 0x86
/** The start of a full presence sync: until SYNC_END every key that is connected there is named. 32 zeros. */
const SYNC_START = 0x84

/** A packet's frame when the packet is empty. */
export const PACKET_FRAME_BYTES_MIN = HEADER_BYTES + 2 * KEY_BYTES

/** The shortest payload of a frame of any type that is known today: one key. */
const FRAME_PAYLOAD_BYTES_MIN = KEY_BYTES

/**
 * The shortest payload of a frame of that type. For frames that come from another run of this relay, which may be of
 * another version; types that are not known here are not read.
 */
export function payloadBytesMin(type: number): number {
  switch (type) {
    case PACKET:
    case FORWARDED_PACKET:
      return 2 * KEY_BYTES
    case FrameType.peerPresent:
    case ACTIVE:
      return KEY_BYTES + ACTIVITY_BYTES
    case HOME:
      return KEY_BYTES + 1
    default:
      return FRAME_PAYLOAD_BYTES_MIN
  }
}

/** Whether a frame of that type is a packet, which may be dropped. */
export function isPacketFrame(type: number): boolean {
  return type === PACKET || type === FORWARDED_PACKET
}

/** A PeerPresent frame with the activity number behind it. */
export function presenceFrame(presentFrame: Uint8Array, activity: number): Uint8Array {
  const frame = Buffer.alloc(presentFrame.length + ACTIVITY_BYTES)
  frame.set(presentFrame)
  writeU32(frame, 1, frame.length - HEADER_BYTES)
  writeU32(frame, presentFrame.length, activity >>> 0)
  return frame
}

/** The key's session on this thread became active, with that activity number. */
export function activeFrame(key: Uint8Array, activity: number): Uint8Array {
  const frame = keyFrame(ACTIVE, key, ACTIVITY_BYTES)
  writeU32(frame, HEADER_BYTES + KEY_BYTES, activity >>> 0)
  return frame
}

/** The key's last session on this thread has ended. */
export function goneFrame(key: Uint8Array): Uint8Array {
  return keyFrame(FrameType.peerGone, key, 0)
}

/** A drain is about to end the key's session on this thread. */
export function leavingFrame(key: Uint8Array): Uint8Array {
  return keyFrame(LEAVING, key, 0)
}

/** All sessions of the key are to be ended. */
export function closeFrame(key: Uint8Array): Uint8Array {
  return keyFrame(FrameType.closePeer, key, 0)
}

export function syncStartFrame(): Uint8Array {
  return keyFrame(SYNC_START, new Uint8Array(KEY_BYTES), 0)
}

export function syncEndFrame(): Uint8Array {
  return keyFrame(SYNC_END, new Uint8Array(KEY_BYTES), 0)
}

/** A client there has noted this relay as its home, or none of the key's clients there does any more. */
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

/** Reads the frames of one other thread. What another thread of this relay writes is trusted. */
export class ThreadFrameReader implements RingSink {
  readonly #thread: number
  readonly #presence: RemotePresenceListener
  readonly #packets: ThreadPacketListener
  readonly #onSynced: () => void

  /** @param onSynced a full presence sync of that thread has been read */
  constructor(thread: number, { presence, packets }: ThreadListener, onSynced: () => void) {
    this.#thread = thread
    this.#presence = presence
    this.#packets = packets
    this.#onSynced = onSynced
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === PACKET) this.#packets.fromThread(buffer, start, end, false)
    else if (type === FORWARDED_PACKET) this.#packets.fromThread(buffer, start, end, true)
    else this.#onPresence(type, buffer, start, end)
  }

  #onPresence(type: number, buffer: Buffer, start: number, end: number): void {
    const [presence, thread] = [this.#presence, this.#thread]
    const key = Uint8Array.prototype.slice.call(buffer, start, start + KEY_BYTES)
    const activity = readU32(buffer, end - ACTIVITY_BYTES) | 0
    if (type === FrameType.peerPresent) {
      const presentFrame = new Uint8Array(buffer.subarray(start - HEADER_BYTES, end - ACTIVITY_BYTES))
      writeU32(presentFrame, 1, presentFrame.length - HEADER_BYTES)
      presence.peerPresent(thread, key, presentFrame, activity)
    } else if (type === ACTIVE) {
      presence.peerActive(thread, key, activity)
    } else if (type === FrameType.peerGone) {
      presence.peerGone(thread, key)
    } else if (type === LEAVING) {
      presence.peerLeaving(key)
    } else if (type === HOME) {
      presence.homeChanged(thread, key, buffer[end - 1] === 1)
    } else if (type === FrameType.closePeer) {
      presence.closePeer(key)
    } else if (type === SYNC_START) {
      presence.syncStarted(thread)
    } else if (type === SYNC_END) {
      presence.syncFinished(thread)
      this.#onSynced()
    }
  }
}

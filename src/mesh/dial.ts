// What the mesh asks of whoever dials for it: a DERP stream to a sibling, as frames one way and bytes the other.
// Addresses, TLS and HTTP are the dialler's affair, logging in is the mesh's.

import type { Sibling } from '#fleet/sibling.ts'

export interface DialHandler {
  /**
   * The sibling's key is known, by its certificate or by its first frame: what to say first. Undefined: nothing, and
   * the connection is ended.
   */
  greet(serverKey: Uint8Array): Uint8Array | undefined
  /** A frame after ServerKey, payload at [start, end), borrowed for the call. */
  onFrame(type: number, buffer: Buffer, start: number, end: number): void
  /** The burst has been taken by the system. */
  written(): void
  /** It has ended, or could not be had. Called once, and nothing after it. */
  onClosed(why: string): void
}

export interface SiblingStream {
  /** Bytes given stay untouched until `written()`. True: they are used up already. */
  write(bytes: Uint8Array, isLast: boolean): boolean
  /** Cuts at once; `onClosed` follows. */
  destroy(): void
}

/** Begins to dial; never throws. */
export type Dial = (address: Sibling, handler: DialHandler) => SiblingStream

// The mesh's port for dialling: a DERP stream to a sibling, with frames in and bytes out. The dialler (worker/) handles
// addresses, TLS and HTTP; the mesh logs in.

import type { Sibling } from '#fleet/sibling.ts'

export interface DialHandler {
  /**
   * The sibling's key is known, by its certificate or by its first frame. Returns the bytes to send first; undefined
   * ends the connection.
   */
  greet(serverKey: Uint8Array): Uint8Array | undefined
  /** A frame after ServerKey; its payload is buffer[start, end), borrowed for the call. */
  onFrame(type: number, buffer: Buffer, start: number, end: number): void
  /** The system has accepted the burst. */
  written(): void
  /** The connection has ended or could not be made. Called once, as the last call. */
  onClosed(why: string): void
}

export interface SiblingStream {
  /** The bytes must stay unchanged until `written()`, unless this returns true. */
  write(bytes: Uint8Array, isLast: boolean): boolean
  /** The smallest round trip that the kernel has seen within minutes; 0 or less, or undefined, if it is not known. */
  readonly roundTripSeconds?: number
  /** Ends the connection at once; `onClosed` follows. */
  destroy(): void
}

/** Starts to dial; never throws. */
export type Dial = (sibling: Sibling, handler: DialHandler) => SiblingStream

// What the mesh asks of whoever dials for it: a DERP stream to a sibling, as frames one way and bytes the other.
// Addresses, TLS and HTTP are the dialler's affair, logging in is the mesh's.

/** Where a sibling is, and what it is to us. Plain data: it comes from another thread. */
export interface SiblingAddress {
  /** `host[:port]`, as it is shown and told apart. */
  readonly name: string
  /** Verified by TLS and asked for. */
  readonly host: string
  readonly port: number
  /** Name or address to dial instead of the host. */
  readonly dialHost: string | undefined
  /** As in a DERP map: another name to verify, or `sha256-raw:` and a digest. */
  readonly certName: string | undefined
  /** It is of a region of ours: we hear of all its clients, not only of those whose home it is. */
  readonly isInside: boolean
  /** We are told of its keys; else they are located by the key directory, and the link is made when it is needed. */
  readonly isWatched: boolean
  /** Its names as a node of the DERP map, by which clients call it their ideal one. */
  readonly nodes: readonly string[]
}

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
export type Dial = (address: SiblingAddress, handler: DialHandler) => SiblingStream

// What the kernel can do for a UDP socket and Node has no call for: many datagrams in one call. Only what users see of it; the calls are made
// in `transport/datagram-calls.ts`, and the folders that use them may not know that one.

import type { Socket } from 'node:dgram'

export interface DatagramDivider {
  /** What is longer leaves in datagrams of so many bytes; 0: as it is. Returns whether the kernel does it. */
  setDatagramBytes(bytes: number): boolean
}

export interface DatagramCalls extends DatagramDivider {
  /** Datagrams that were sent so are read as one. Returns whether the kernel does it. */
  joinDatagrams(): boolean
  /** Reads no more until `resume`, not even what the kernel has already. */
  pause(): void
  resume(): void
}

/** For a bound socket; undefined: each datagram has a call of its own. */
export type DatagramCallsOf = (socket: Socket) => DatagramCalls | undefined

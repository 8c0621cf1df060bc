// Times as WireGuard's initiations have them, TAI64N: seconds and nanoseconds, big-endian, so that a later time is a larger one.

import { TIMESTAMP_BYTES } from './noise.ts'

/** 2^62 and the ten seconds between TAI and UTC in 1970. */
const BASE = 0x4000_0000_0000_000an

/** The Unix time in ms as twelve bytes. */
export function timestampAt(unixMs: number): Uint8Array {
  const bytes = Buffer.alloc(TIMESTAMP_BYTES)
  bytes.writeBigUInt64BE(BASE + BigInt(Math.floor(unixMs / 1_000)))
  bytes.writeUInt32BE((Math.floor(unixMs) % 1_000) * 1_000_000, 8)
  return new Uint8Array(bytes)
}

/** Whether one is later than another; undefined: there was none before. */
export function newerTimestamp(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return other === undefined || Buffer.compare(one, other) > 0
}

// Recognises disco messages, by which peers look for a direct path. They have a lane of their own in the outbox, and only
// they are answered with "not here". Never looks inside the message.

import { byteAt } from './bytes.ts'

/** "TS" and U+1F4AC, a 32-byte key and a 24-byte nonce: the shortest disco message. */
const DISCO_BYTES_MIN = 62

/** Whether the packet at [start, end) is a disco message. */
export function isDisco(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    end - start >= DISCO_BYTES_MIN &&
    byteAt(bytes, start) === 0x54 &&
    byteAt(bytes, start + 1) === 0x53 &&
    byteAt(bytes, start + 2) === 0xf0 &&
    byteAt(bytes, start + 3) === 0x9f &&
    byteAt(bytes, start + 4) === 0x92 &&
    byteAt(bytes, start + 5) === 0xac
  )
}

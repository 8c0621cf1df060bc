// Messages of WireGuard that the kernel has joined into one read (UDP_GRO): wireguard-go gives it many at once, and Node does not tell how
// long each is. All but the last have the same length, and each tells by its head that it is the next one of its session.
//
// Contract: whatever is not certainly such a row is one packet, as it came.

/** A message of data: its type, the index of the session, a counter of 8 bytes (little-endian), then the rest. */
const DATA = 4
const COUNTER_AT = 8
const HEAD_BYTES = 16
/** With the tag alone. */
const MESSAGE_BYTES_MIN = 32

/** Parts of `bytes`, not copies. */
export function joinedMessages(bytes: Buffer): readonly Buffer[] {
  const length = messageLength(bytes)
  if (length === bytes.length) return [bytes]
  const messages: Buffer[] = []
  for (let at = 0; at < bytes.length; at += length) messages.push(bytes.subarray(at, at + length))
  return messages
}

function messageLength(bytes: Buffer): number {
  if (bytes.length < 2 * MESSAGE_BYTES_MIN || bytes.readUInt32LE(0) !== DATA) return bytes.length
  const head = Buffer.from(bytes.subarray(0, HEAD_BYTES))
  const first = bytes.readBigUInt64LE(COUNTER_AT)
  setCounter(head, first + 1n)
  // What looks like the next head by chance, in ciphertext: once in 2^128.
  const length = bytes.indexOf(head, MESSAGE_BYTES_MIN)
  if (length < 0) return bytes.length
  let counter = first + 2n
  for (let at = 2 * length; at < bytes.length; at += length) {
    setCounter(head, counter++)
    if (!head.equals(bytes.subarray(at, at + HEAD_BYTES))) return bytes.length
  }
  return length
}

function setCounter(head: Buffer, counter: bigint): void {
  head.writeBigUInt64LE(BigInt.asUintN(64, counter), COUNTER_AT)
}

// Vectors are written as hex, in lines of 64 digits as they were published. This turns them into bytes and
// gives the hash from whose output every "random" value among them was taken. Test data only.

import { createHash } from 'node:crypto'

/** The bytes of lower-case hex, given in any number of lines. */
export function bytes(...lines: string[]): Buffer {
  return Buffer.from(lines.join(''), 'hex')
}

/** SHA-256 of an ASCII label, or of bytes. */
export function sha256(input: string | Uint8Array): Buffer {
  return createHash('sha256').update(input).digest()
}

// Reads vectors, which are written as hex in lines of 64 digits, as published, and has the hash of which their "random"
// values are outputs. Test data only.

import { createHash } from 'node:crypto'

/** The bytes of lower-case hex in any number of lines. */
export function bytes(...lines: string[]): Buffer {
  return Buffer.from(lines.join(''), 'hex')
}

/** SHA-256 of an ASCII label, or of bytes. */
export function sha256(input: string | Uint8Array): Buffer {
  return createHash('sha256').update(input).digest()
}

// Whether the first record of a TLS connection, which carries the ClientHello, has arrived completely. Checked before TLS
// is set up for the connection. Does not read the record's content.

import { byteAt } from './bytes.ts'

/** RFC 8446 §5.1. */
const HANDSHAKE_RECORD = 22
const MAJOR_VERSION = 3
const RECORD_HEADER_BYTES = 5
const RECORD_BODY_BYTES_MAX = 16_384

/** `foreign`: the bytes are not the start of a TLS handshake record. */
export type HelloState = 'partial' | 'whole' | 'foreign'

/** @param bytes all bytes received so far, at least one */
export function helloState(bytes: Uint8Array): HelloState {
  if (byteAt(bytes, 0) !== HANDSHAKE_RECORD) return 'foreign'
  if (bytes.length > 1 && byteAt(bytes, 1) !== MAJOR_VERSION) return 'foreign'
  if (bytes.length < RECORD_HEADER_BYTES) return 'partial'
  const bodyBytes = byteAt(bytes, 3) * 256 + byteAt(bytes, 4)
  if (bodyBytes === 0 || bodyBytes > RECORD_BODY_BYTES_MAX) return 'foreign'
  return bytes.length >= RECORD_HEADER_BYTES + bodyBytes ? 'whole' : 'partial'
}

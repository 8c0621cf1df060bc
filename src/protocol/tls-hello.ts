// Reads the first message of a TLS connection, the ClientHello, before TLS is set up for the connection: whether it has
// arrived completely, the server name that it asks for, whether it offers application protocols, and whether it is an authority's
// validation (RFC 8737). Bounded, and never throws: TLS itself judges what is malformed.

import { byteAt, copyOf, readU16, startsWithAt } from './bytes.ts'

/** RFC 8446 §5.1. */
const HANDSHAKE_RECORD = 22
const MAJOR_VERSION = 3
const RECORD_HEADER_BYTES = 5
const RECORD_BODY_BYTES_MAX = 16_384

/** RFC 8446 §4. */
const CLIENT_HELLO = 1
const MESSAGE_HEADER_BYTES = 4
/** A hello with post-quantum key shares has 2 KB. TLS judges a longer one by its first record. */
const MESSAGE_BYTES_MAX = 16_384
/** A hello may be cut into several records. All of them together may have as many bytes as one record. */
const ALL_RECORDS_BYTES_MAX = RECORD_HEADER_BYTES + RECORD_BODY_BYTES_MAX

const SERVER_NAME = 0
const HOST_NAME = 0
const ALPN = 16
/** The one protocol that a validation offers, with the lengths of list and name (RFC 8737 §3, RFC 7301 §3.1). */
const ACME_ALPN_LIST = Buffer.from('\x00\x0b\x0aacme-tls/1', 'latin1')
/** A DNS name has no more characters. */
const SERVER_NAME_BYTES_MAX = 255

/** `foreign`: the bytes are not the start of a TLS handshake record. */
export type HelloState = 'partial' | 'whole' | 'foreign'

export interface ClientHello {
  /** In lower case; undefined if there is none, or an invalid one. */
  readonly serverName: string | undefined
  /** An authority validates the server name by TLS-ALPN-01: `acme-tls/1` is the only protocol that it offers. */
  readonly isAcmeValidation: boolean
  /** The client offers application protocols (ALPN). Clients of DERP over TLS offer none. */
  readonly offersProtocols: boolean
}

const NO_HELLO: ClientHello = { serverName: undefined, isAcmeValidation: false, offersProtocols: false }

/** @param bytes all bytes received so far, at least one */
export function helloState(bytes: Uint8Array): HelloState {
  const message = new Uint8Array(MESSAGE_HEADER_BYTES)
  let gathered = 0
  for (let at = 0; ;) {
    const record = recordState(bytes, at)
    if (record === 'foreign' && at > 0) return 'whole'
    if (record !== 'whole') return record
    const bodyBytes = readU16(bytes, at + 3)
    for (let i = 0; gathered + i < MESSAGE_HEADER_BYTES && i < bodyBytes; i++) {
      message[gathered + i] = byteAt(bytes, at + RECORD_HEADER_BYTES + i)
    }
    gathered += bodyBytes
    at += RECORD_HEADER_BYTES + bodyBytes
    if (byteAt(message, 0) !== CLIENT_HELLO || at >= ALL_RECORDS_BYTES_MAX) return 'whole'
    if (gathered < MESSAGE_HEADER_BYTES) continue
    const messageBytes = MESSAGE_HEADER_BYTES + lengthOf(message)
    if (gathered >= messageBytes || messageBytes > MESSAGE_BYTES_MAX) return 'whole'
  }
}

/** The content of a whole hello. Anything malformed counts as absent. */
export function readHello(bytes: Uint8Array): ClientHello {
  const extensions = extensionsOf(messageOf(bytes))
  const serverName = extensions && serverNameOf(extensions)
  const alpn = extensions && extension(extensions, ALPN)
  if (serverName === undefined && alpn === undefined) return NO_HELLO
  const isAcmeValidation =
    alpn !== undefined && alpn.length === ACME_ALPN_LIST.length && startsWithAt(alpn, 0, ACME_ALPN_LIST)
  return { serverName, isAcmeValidation, offersProtocols: alpn !== undefined }
}

/** Whether a record that begins at `at` has arrived completely. */
function recordState(bytes: Uint8Array, at: number): HelloState {
  if (bytes.length === at) return 'partial'
  if (byteAt(bytes, at) !== HANDSHAKE_RECORD) return 'foreign'
  if (bytes.length > at + 1 && byteAt(bytes, at + 1) !== MAJOR_VERSION) return 'foreign'
  if (bytes.length < at + RECORD_HEADER_BYTES) return 'partial'
  const bodyBytes = readU16(bytes, at + 3)
  if (bodyBytes === 0 || bodyBytes > RECORD_BODY_BYTES_MAX) return 'foreign'
  return bytes.length >= at + RECORD_HEADER_BYTES + bodyBytes ? 'whole' : 'partial'
}

/** The length in a message's header. */
function lengthOf(header: Uint8Array): number {
  return (byteAt(header, 1) << 16) | readU16(header, 2)
}

/** The handshake message in the records, without their headers; undefined if it is incomplete or no ClientHello. */
function messageOf(bytes: Uint8Array): Uint8Array | undefined {
  const parts: Uint8Array[] = []
  for (let at = 0; recordState(bytes, at) === 'whole' && at < ALL_RECORDS_BYTES_MAX;) {
    const bodyBytes = readU16(bytes, at + 3)
    at += RECORD_HEADER_BYTES
    parts.push(bytes.subarray(at, at + bodyBytes))
    at += bodyBytes
  }
  const [first] = parts
  const all = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts)
  if (all.length < MESSAGE_HEADER_BYTES || byteAt(all, 0) !== CLIENT_HELLO) return undefined
  const messageBytes = MESSAGE_HEADER_BYTES + lengthOf(all)
  return all.length < messageBytes ? undefined : all.subarray(0, messageBytes)
}

/** The list of extensions of a ClientHello (RFC 8446 §4.1.2), without its length. */
function extensionsOf(message: Uint8Array | undefined): Uint8Array | undefined {
  if (message === undefined) return undefined
  // Version and random; then session identifier, cipher suites and compression methods, each with its length.
  let at: number | undefined = MESSAGE_HEADER_BYTES + 2 + 32
  for (const lengthBytes of [1, 2, 1] as const) {
    at = afterVector(message, at, lengthBytes)
    if (at === undefined) return undefined
  }
  return vector(message, at, 2)
}

/** The content of a vector whose length is a number of `lengthBytes` bytes at `at`. */
function vector(bytes: Uint8Array, at: number, lengthBytes: 1 | 2): Uint8Array | undefined {
  const start = at + lengthBytes
  if (start > bytes.length) return undefined
  const end = start + (lengthBytes === 1 ? byteAt(bytes, at) : readU16(bytes, at))
  return end > bytes.length ? undefined : bytes.subarray(start, end)
}

/** The position after such a vector. */
function afterVector(bytes: Uint8Array, at: number, lengthBytes: 1 | 2): number | undefined {
  const content = vector(bytes, at, lengthBytes)
  return content && at + lengthBytes + content.length
}

/** The content of the first extension of a type. */
function extension(extensions: Uint8Array, type: number): Uint8Array | undefined {
  for (let at = 0; at + 4 <= extensions.length;) {
    const content = vector(extensions, at + 2, 2)
    if (content === undefined || readU16(extensions, at) === type) return content
    at += 4 + content.length
  }
  return undefined
}

/** The host name of the server name extension (RFC 6066 §3). */
function serverNameOf(extensions: Uint8Array): string | undefined {
  const content = extension(extensions, SERVER_NAME)
  const list = content && vector(content, 0, 2)
  if (list === undefined || list.length === 0 || byteAt(list, 0) !== HOST_NAME) return undefined
  const name = vector(list, 1, 2)
  if (name === undefined || name.length === 0 || name.length > SERVER_NAME_BYTES_MAX) return undefined
  if (!name.every((byte) => byte > 0x20 && byte < 0x7f)) return undefined
  return Buffer.from(copyOf(name, 0, name.length))
    .toString('latin1')
    .toLowerCase()
}

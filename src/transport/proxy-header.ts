// The PROXY protocol header (version 2) with which the front door hands a connection to the HTTP server
// behind it. The address it carries is the connection's own number in this relay, not the client's: the
// HTTP server can give back sixteen bytes but no port, and with the number all is known.

import { readU32, writeU16, writeU32 } from '#protocol/bytes.ts'

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
/** Version 2, command PROXY; TCP over IPv6: two addresses of 16 bytes, two ports. */
const VERSION_AND_COMMAND = 0x21
const TCP_OVER_IPV6 = 0x21
const ADDRESSES_BYTES = 36
const HEADER_BYTES = 16
/** Where the number lies in the source address, and so in what the HTTP server gives back. */
const NUMBER_AT = 12

/** The header for connection `number` (32 bits). */
export function proxyHeader(number: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES + ADDRESSES_BYTES)
  header.set(SIGNATURE)
  header[12] = VERSION_AND_COMMAND
  header[13] = TCP_OVER_IPV6
  writeU16(header, 14, ADDRESSES_BYTES)
  // 0100::/64, the discard prefix (RFC 6666): no real client has such an address.
  header[HEADER_BYTES] = 0x01
  writeU32(header, HEADER_BYTES + NUMBER_AT, number)
  return header
}

/** The number of the connection whose source address the HTTP server gives back. */
export function connectionNumber(sourceAddress: ArrayBuffer): number {
  return sourceAddress.byteLength < 16 ? 0 : readU32(new Uint8Array(sourceAddress), NUMBER_AT)
}

// Writes the part of ASN.1 DER that an X.509 certificate needs. No library is used because the relay's meta certificate has
// a common name longer than certificate libraries allow. Reads nothing.

const SEQUENCE = 0x30
const SET = 0x31

/** One element: tag, length in the shortest form, content. */
export function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  const length =
    content.length < 0x80
      ? [content.length]
      : content.length < 0x100
        ? [0x81, content.length]
        : [0x82, content.length >>> 8, content.length & 0xff]
  return new Uint8Array(Buffer.concat([Uint8Array.from([tag, ...length]), content]))
}

export const sequence = (...parts: Uint8Array[]): Uint8Array => der(SEQUENCE, ...parts)
export const set = (...parts: Uint8Array[]): Uint8Array => der(SET, ...parts)
export const octetString = (content: Uint8Array): Uint8Array => der(0x04, content)
export const printableString = (text: string): Uint8Array => der(0x13, Buffer.from(text, 'latin1'))
export const utf8String = (text: string): Uint8Array => der(0x0c, Buffer.from(text))
export const booleanTrue = (): Uint8Array => der(0x01, Uint8Array.of(0xff))

/** A bit string without unused bits. */
export const bitString = (content: Uint8Array): Uint8Array => der(0x03, Uint8Array.of(0), content)

/** A non-negative integer of big-endian bytes; a leading zero is added where the sign would flip. */
export function integer(bytes: Uint8Array): Uint8Array {
  return (bytes[0] ?? 0) & 0x80 ? der(0x02, Uint8Array.of(0), bytes) : der(0x02, bytes)
}

/** Context-specific, constructed (`[n] EXPLICIT`). */
export const explicit = (n: number, ...parts: Uint8Array[]): Uint8Array => der(0xa0 + n, ...parts)

/** Context-specific, primitive (`[n] IMPLICIT`), as general names use it. */
export const implicit = (n: number, content: Uint8Array): Uint8Array => der(0x80 + n, content)

/** An object identifier such as `1.3.101.112`. */
export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return der(0x06, Uint8Array.from([first * 40 + second, ...rest.flatMap(base128)]))
}

/** UTCTime with seconds; years 1950 to 2049 (RFC 5280 §4.1.2.5.1). */
export function utcTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)
  return der(0x17, Buffer.from(`${digits}Z`))
}

function base128(value: number): number[] {
  const groups = [value & 0x7f]
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) groups.unshift((rest & 0x7f) | 0x80)
  return groups
}

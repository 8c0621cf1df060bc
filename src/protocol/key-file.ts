// The text of the files that hold a relay's secrets: derper's key file (JSON), the plain key file of
// Headscale's embedded relay, and the mesh key file. Text in, key or complaint out; reading the file is
// the caller's business.

import { isZero } from './bytes.ts'
import { keyPairFrom, parsePrivateKey, parseUntypedKey, privateKeyText, type KeyPair } from './node-key.ts'

/** A parsed value, or what is wrong in words for the operator. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string }

/** What derper writes: one tab-indented key, no newline at the end. */
export function formatKeyFile(pair: KeyPair): string {
  return `{\n\t"PrivateKey": "${privateKeyText(pair.privateKey)}"\n}`
}

/** Reads derper's JSON (its key name in any case) or a bare `privkey:<64 hex>` line. */
export function parseKeyFile(text: string): Parsed<KeyPair> {
  const trimmed = text.trim()
  if (!trimmed.startsWith('{')) return pairFrom(trimmed)
  let json: unknown
  try {
    json = JSON.parse(trimmed)
  } catch {
    // The parser's own words would quote a part of the key.
    return { problem: 'is not JSON; expected {"PrivateKey": "privkey:<64 hex>"}' }
  }
  for (const [name, value] of Object.entries(json as object)) {
    if (name.toLowerCase() === 'privatekey' && typeof value === 'string') return pairFrom(value)
  }
  return { problem: 'has no string "PrivateKey"; expected {"PrivateKey": "privkey:<64 hex>"}' }
}

/** Reads a mesh key: 64 hex digits in either case, white space around them ignored; zero means none. */
export function parseMeshKey(text: string): Parsed<Uint8Array | undefined> {
  const key = parseUntypedKey(text.trim())
  if (key === undefined) {
    return {
      problem: `holds ${text.trim().length} characters that are not a mesh key; expected 64 hex digits`,
    }
  }
  return { value: isZero(key) ? undefined : key }
}

function pairFrom(text: string): Parsed<KeyPair> {
  const key = parsePrivateKey(text)
  if (key === undefined) return { problem: 'does not hold a private key; expected privkey:<64 hex>' }
  if (isZero(key)) return { problem: 'holds the all-zero private key; expected a generated one' }
  return { value: keyPairFrom(key) }
}

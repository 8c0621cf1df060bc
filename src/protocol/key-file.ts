// The text of the files with a relay's secrets: derper's key file (JSON), the plain key file of Headscale's embedded relay,
// and the mesh key file. Gives a key or a problem; the caller reads the file.

import { isZero } from './bytes.ts'
import { keyPairFrom, parsePrivateKey, parseUntypedKey, privateKeyText, type KeyPair } from './node-key.ts'

/** A parsed value, or the problem in words for the operator. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string }

/** derper's format: one tab-indented key, no newline at the end. */
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
    // The parser's message would quote a part of the key.
    return { problem: 'is not JSON; expected {"PrivateKey": "privkey:<64 hex>"}' }
  }
  for (const [name, value] of Object.entries(json as object)) {
    if (name.toLowerCase() === 'privatekey' && typeof value === 'string') return pairFrom(value)
  }
  return { problem: 'has no string "PrivateKey"; expected {"PrivateKey": "privkey:<64 hex>"}' }
}

/** As `wg genkey` prints it. */
export function formatWireguardKey({ privateKey }: KeyPair): string {
  return `${Buffer.from(privateKey).toString('base64')}\n`
}

/** Reads a private key as `wg genkey` prints it, or `privkey:<64 hex>`. */
export function parseWireguardKey(text: string): Parsed<KeyPair> {
  const trimmed = text.trim()
  const bytes = /^[A-Za-z0-9+/]{43}=$/.test(trimmed)
    ? new Uint8Array(Buffer.from(trimmed, 'base64'))
    : parsePrivateKey(trimmed)
  if (bytes === undefined)
    return {
      problem: 'does not hold a private key; expected 44 characters of base64, as `wg genkey` prints them',
    }
  if (isZero(bytes)) return { problem: 'holds the all-zero private key; expected a generated one' }
  return { value: keyPairFrom(bytes) }
}

/** Usually one, and two during a replacement. Every login of a sibling is compared with each. */
const MESH_KEYS_MAX = 8

/**
 * Reads mesh keys, each 64 hex digits in either case on a line of its own. Ignores white space around them, empty lines
 * and lines that begin with #. A single key is derper's format. The result has at least one.
 */
export function parseMeshKeys(text: string): Parsed<readonly [Uint8Array, ...Uint8Array[]]> {
  const lines = text.split('\n').map((line) => line.trim())
  const keys: Uint8Array[] = []
  for (const line of lines.filter((one) => one !== '' && !one.startsWith('#'))) {
    const key = parseUntypedKey(line)
    if (key === undefined) {
      return { problem: `holds ${line.length} characters that are not a mesh key; expected 64 hex digits` }
    }
    // derper reads zeros as "no mesh". An operator who sets a key wants a mesh.
    if (isZero(key)) return { problem: 'holds the all-zero mesh key; expected 64 random hex digits' }
    keys.push(key)
  }
  if (keys.length > MESH_KEYS_MAX) {
    return { problem: `holds ${keys.length} mesh keys; expected at most ${MESH_KEYS_MAX}` }
  }
  const [first, ...others] = keys
  if (first === undefined) return { problem: 'holds no mesh key; expected 64 hex digits' }
  return { value: [first, ...others] }
}

function pairFrom(text: string): Parsed<KeyPair> {
  const key = parsePrivateKey(text)
  if (key === undefined) return { problem: 'does not hold a private key; expected privkey:<64 hex>' }
  if (isZero(key)) return { problem: 'holds the all-zero private key; expected a generated one' }
  return { value: keyPairFrom(key) }
}

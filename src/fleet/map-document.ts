// A DERP map as it is served: bytes, and what stands beside them in headers, never in them. All of it follows from the
// regions and the key, so every relay of a fleet that serves the same map serves the same document.

import { createHash, createPrivateKey, sign, type KeyObject } from 'node:crypto'
import { derpMapText, type MapFormat } from './derp-map-writer.ts'
import type { Region } from './region.ts'

export interface MapDocument {
  readonly text: string
  /** The start of the SHA-256 of the bytes, in hex: equal for equal bytes, from whichever relay. */
  readonly version: string
  /** The version as an HTTP entity tag. */
  readonly etag: string
  /** Ed25519 over the bytes, in base64; undefined without a key. The text of the detached `.sig` is this and a line end. */
  readonly signature: string | undefined
}

/** As many digits as tell all maps of a fleet's life apart; a signature, not this, shows who made the map. */
const VERSION_DIGITS = 16

export function mapDocument(format: MapFormat, regions: readonly Region[], key?: KeyObject): MapDocument {
  const text = derpMapText(format, regions)
  const bytes = Buffer.from(text)
  const version = createHash('sha256').update(bytes).digest('hex').slice(0, VERSION_DIGITS)
  const signature = key === undefined ? undefined : sign(null, bytes, key).toString('base64')
  return { text, version, etag: `"${version}"`, signature }
}

export const MAP_KEY_EXPECTED = 'an Ed25519 private key in PEM, as from "openssl genpkey -algorithm ed25519"'

/** Why a text is no key to sign maps with; undefined if it is one. Completes "FILE …". */
export function mapKeyProblem(text: string): string | undefined {
  try {
    const { asymmetricKeyType } = createPrivateKey(text)
    return asymmetricKeyType === 'ed25519' ? undefined : `has a key of type ${asymmetricKeyType}`
  } catch {
    // The reason may quote the key.
    return 'has no key that can be read'
  }
}

// Of which siblings a relay takes kicks: by their node keys, which they prove at login. Holding the mesh key is not enough, unless
// the operator says so.

import { publicKeyText } from './node-key.ts'

/** `siblings`: of every relay with the mesh key, as derper; otherwise of relays with these keys, `nodekey:` and hex digits. */
export type KicksFrom = 'siblings' | readonly string[]

export function takesKicksFrom(kicksFrom: KicksFrom, key: Uint8Array): boolean {
  return kicksFrom === 'siblings' || kicksFrom.includes(publicKeyText(key))
}

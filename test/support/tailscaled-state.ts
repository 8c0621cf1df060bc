// The state file of a tailscaled, which has the private key of its node.

import { keyPairFrom, parsePrivateKey, type KeyPair } from '#protocol/node-key.ts'

/** The node key in the state file of a tailscaled. */
export function privateKeyIn(state: string): KeyPair {
  const profiles = JSON.parse(state) as Readonly<Record<string, string>>
  const named = Buffer.from(profiles['_current-profile'] ?? '', 'base64').toString()
  const profile = JSON.parse(Buffer.from(profiles[named] ?? '', 'base64').toString()) as {
    readonly Config: { readonly PrivateNodeKey: string }
  }
  const key = parsePrivateKey(profile.Config.PrivateNodeKey)
  if (key === undefined) throw new Error(`no node key in ${state.slice(0, 200)}`)
  return keyPairFrom(key)
}

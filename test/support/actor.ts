// Actors of tests: key pairs by name. Alice, bob, the mesh peer and the server have the keys of the vectors, so that
// the vectors' frames are valid for them. All other keys are derived from the name.

import { BoxSecret, type BoxKey } from '#protocol/box.ts'
import { toHex } from '#protocol/bytes.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { sha256 } from '../vectors/hex.ts'
import * as keys from '../vectors/keys.ts'

export class Actor {
  readonly name: string
  readonly privateKey: Uint8Array
  readonly key: Uint8Array
  readonly #boxes = new Map<Actor, BoxKey>()

  constructor(name: string, pair: { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array }) {
    this.name = name
    this.privateKey = pair.privateKey
    this.key = Uint8Array.from(pair.publicKey)
  }

  /** The box key of this actor and another. */
  boxWith(other: Actor): BoxKey {
    const known = this.#boxes.get(other)
    if (known !== undefined) return known
    const box = new BoxSecret(this.privateKey).agree(other.key)
    if (box === undefined) throw new Error(`${this.name} has no shared key with ${other.name}`)
    this.#boxes.set(other, box)
    return box
  }

  get boxWithServer(): BoxKey {
    return this.boxWith(server)
  }
}

const known = new Map<string, Actor>()
const namesByKey = new Map<string, string>()

/** The actor of that name; always the same object. */
export function actor(name: string): Actor {
  return known.get(name) ?? register(new Actor(name, keyPairFrom(sha256(`derpfleet test actor ${name}`))))
}

/** The name of the actor with this key, or the key's first digits in brackets. */
export function nameOf(key: Uint8Array): string {
  const hex = toHex(key)
  return namesByKey.get(hex) ?? `[${hex.slice(0, 8)}]`
}

export const alice = register(new Actor('alice', keys.clientA))
export const bob = register(new Actor('bob', keys.clientB))
export const cathy = actor('cathy')
/** A mesh peer, if its login contains the mesh key. */
export const sibling = register(new Actor('sibling', keys.meshPeer))
export const server = register(new Actor('server', keys.server))

function register(created: Actor): Actor {
  known.set(created.name, created)
  namesByKey.set(toHex(created.key), created.name)
  return created
}

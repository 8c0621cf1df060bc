// Who takes part in tests: key pairs by name. Alice, bob, the mesh peer and the server have the keys of the vectors,
// so that the vectors' own frames can be replayed among them; everybody else's key comes from the name.

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

  /** What this actor and another seal with. */
  boxWith(other: Actor): BoxKey {
    const known = this.#boxes.get(other)
    if (known !== undefined) return known
    const box = new BoxSecret(this.privateKey).agree(other.key)
    if (box === undefined) throw new Error(`${this.name} can't agree with ${other.name}`)
    this.#boxes.set(other, box)
    return box
  }

  get boxWithServer(): BoxKey {
    return this.boxWith(server)
  }
}

const known = new Map<string, Actor>()
const namesByKey = new Map<string, string>()

/** The actor of that name, the same one each time. */
export function actor(name: string): Actor {
  return known.get(name) ?? introduce(new Actor(name, keyPairFrom(sha256(`derpfleet test actor ${name}`))))
}

/** The name of the actor who holds a key, or its first digits in brackets. */
export function nameOf(key: Uint8Array): string {
  const hex = toHex(key)
  return namesByKey.get(hex) ?? `[${hex.slice(0, 8)}]`
}

export const alice = introduce(new Actor('alice', keys.clientA))
export const bob = introduce(new Actor('bob', keys.clientB))
export const cathy = actor('cathy')
/** Holds the mesh key where the login says so. */
export const sibling = introduce(new Actor('sibling', keys.meshPeer))
export const server = introduce(new Actor('server', keys.server))

function introduce(newcomer: Actor): Actor {
  known.set(newcomer.name, newcomer)
  namesByKey.set(toHex(newcomer.key), newcomer.name)
  return newcomer
}

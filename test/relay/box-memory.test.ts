// Box keys that are kept, against a naive model: what is kept is right, is not agreed again, and is bounded.

import { expect, it } from 'vitest'
import { BoxKey, BoxSecret } from '#protocol/box.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { BoxMemory } from '#relay/box-memory.ts'
import { Actor, alice, bob } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'
import { sha256 } from '../vectors/hex.ts'

/** Agrees on the hash of a key, and counts. */
class CountedSecret {
  agreed = 0

  agree(publicKey: Uint8Array): BoxKey {
    this.agreed++
    return new BoxKey(sha256(publicKey))
  }
}

function bytesOf(box: BoxKey | undefined): string {
  const bytes = Buffer.alloc(32)
  box?.copyTo(bytes, 0)
  return bytes.toString('hex')
}

const SEED = 1
const keyOf = (number: number): Uint8Array => sha256(`client ${number}`)

it('a key that was kept is not agreed again, and is the same', () => {
  const secret = new CountedSecret()
  const memory = new BoxMemory(secret, SEED)
  // Through several doublings.
  for (let n = 0; n < 5_000; n++) {
    const box = memory.agree(keyOf(n)) as BoxKey
    if (n % 5 !== 0) memory.keep(keyOf(n), box)
  }
  expect(secret.agreed).toBe(5_000)
  for (let n = 0; n < 5_000; n++)
    expect(bytesOf(memory.agree(keyOf(n)))).toBe(sha256(keyOf(n)).toString('hex'))
  // Those that were not kept.
  const again = secret.agreed - 5_000
  expect(again).toBeGreaterThanOrEqual(1_000)
  expect(again).toBeLessThan(1_300)
})

it('with more clients than places, some are forgotten and none is mistaken', () => {
  const secret = new CountedSecret()
  const memory = new BoxMemory(secret, SEED, 1_024)
  for (let n = 0; n < 20_000; n++) memory.keep(keyOf(n), memory.agree(keyOf(n)) as BoxKey)
  secret.agreed = 0
  for (let n = 0; n < 20_000; n++)
    expect(bytesOf(memory.agree(keyOf(n)))).toBe(sha256(keyOf(n)).toString('hex'))
  expect(20_000 - secret.agreed).toBeGreaterThan(900)
  expect(20_000 - secret.agreed).toBeLessThanOrEqual(1_024)
})

it('keys that begin alike, as somebody may choose them, do not push out others', () => {
  const secret = new CountedSecret()
  const memory = new BoxMemory(secret, SEED)
  const stays = keyOf(1)
  memory.keep(stays, memory.agree(stays) as BoxKey)
  for (let n = 0; n < 1_000; n++) {
    const key = Uint8Array.from(keyOf(n))
    key.set([0, 0, 0, 7])
    memory.keep(key, memory.agree(key) as BoxKey)
  }
  secret.agreed = 0
  memory.agree(stays)
  expect(secret.agreed).toBe(0)
})

it('what is kept opens what the client seals', () => {
  const [relay, client] = [newKeyPair(), newKeyPair()]
  const memory = new BoxMemory(new BoxSecret(relay.privateKey), SEED)
  memory.keep(client.publicKey, memory.agree(client.publicKey) as BoxKey)
  const sealed = new BoxSecret(client.privateKey)
    .agree(relay.publicKey)
    ?.seal(new Uint8Array(24), Buffer.from('hello'))
  expect(Buffer.from(memory.agree(client.publicKey)?.open(sealed as Uint8Array) ?? [])).toEqual(
    Buffer.from('hello'),
  )
})

it('a client that comes back logs in, and another one can’t log in with its key', () => {
  const relay = new TestRelay()
  relay.join(alice).hangUp()
  relay.join(alice).hangUp()
  const thief = relay
    .connect(new Actor('thief', { privateKey: bob.privateKey, publicKey: alice.key }))
    .logIn()
  expect(thief.isClosed).toBe(true)
  expect(relay.lastEnd).toBe(ProtocolError.boxRefused)
  expect(relay.join(alice).isClosed).toBe(false)
})

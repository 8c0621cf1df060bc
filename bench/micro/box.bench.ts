// What a login costs in cryptography: the key agreement, by the runtime and by portable code, and the sealed box
// around ClientInfo (about 100 B of JSON). Opening is the relay's side of ClientInfo, sealing that of ServerInfo.

import { randomBytes } from 'node:crypto'
import { x25519 } from '@noble/curves/ed25519.js'
import { expect, test } from 'vitest'
import { BoxSecret, boxKeyFrom } from '#protocol/box.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { measure, perOperation } from './per-operation.ts'

const relay = keyPairFrom(randomBytes(32))
const client = keyPairFrom(randomBytes(32))

function times(count: number, work: () => void): () => void {
  return () => {
    for (let at = 0; at < count; at++) work()
  }
}

test('key agreement', async ({ bench }) => {
  const secret = new BoxSecret(relay.privateKey)
  const agree = (): void => void secret.agree(client.publicKey)
  const portable = (): void => void boxKeyFrom(x25519.getSharedSecret(relay.privateKey, client.publicKey))
  const derive = (): void => void x25519.getPublicKey(relay.privateKey)
  await measure(
    bench('X25519 and HSalsa20, the runtime', perOperation(20, times(20, agree))),
    bench('X25519 and HSalsa20, noble', perOperation(2, times(2, portable))),
    bench('public key from private, noble', perOperation(2, times(2, derive))),
  )
})

test.for([100, 1_000])('sealed box of %i B', async (plainBytes, { bench }) => {
  const key = new BoxSecret(relay.privateKey).agree(client.publicKey)
  if (key === undefined) throw new Error('the two can agree')
  const plain = randomBytes(plainBytes)
  const nonce = randomBytes(NONCE_BYTES)
  const sealed = key.seal(nonce, plain)
  expect(key.open(sealed)).toEqual(new Uint8Array(plain))
  await measure(
    bench(
      'seal',
      perOperation(
        50,
        times(50, () => void key.seal(nonce, plain)),
      ),
    ),
    bench(
      'open',
      perOperation(
        50,
        times(50, () => void key.open(sealed)),
      ),
    ),
  )
})

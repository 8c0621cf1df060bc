// The NaCl box: the vectors byte for byte, and the runtime's X25519 compared with the portable one.

import { x25519 } from '@noble/curves/ed25519.js'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { BoxKey, boxKeyFrom, BoxSecret } from '#protocol/box.ts'
import { toHex } from '#protocol/bytes.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { agreement, clientA, keyVectors, server } from '../vectors/keys.ts'
import { clientInfo, clientInfoBox, serverInfo } from '../vectors/login.ts'
import { exactly } from './arbitraries.ts'

const nonce = clientInfo.nonce
const plain = Buffer.from(clientInfo.json)

/** The agreed key; fails the test without one. */
function agreed(secret: BoxSecret, publicKey: Uint8Array): BoxKey {
  const box = secret.agree(publicKey)
  if (box === undefined) throw new Error(`no agreement with ${toHex(publicKey)}`)
  return box
}

it('both sides agree on the box key of the vectors', () => {
  expect(toHex(x25519.getSharedSecret(server.privateKey, clientA.publicKey))).toBe(
    toHex(agreement.sharedSecret),
  )
  expect(toHex(boxKeyFrom(agreement.sharedSecret))).toBe(toHex(agreement.boxKey))
  const sealed = toHex(new BoxKey(agreement.boxKey).seal(nonce, plain))
  expect(toHex(agreed(new BoxSecret(server.privateKey), clientA.publicKey).seal(nonce, plain))).toBe(sealed)
  expect(toHex(agreed(new BoxSecret(clientA.privateKey), server.publicKey).seal(nonce, plain))).toBe(sealed)
})

it('seals the boxes of the vectors byte for byte: nonce, tag, ciphertext', () => {
  const box = new BoxKey(agreement.boxKey)
  expect(toHex(box.seal(nonce, plain))).toBe(toHex(nonce) + toHex(clientInfoBox))
  const sealed = box.seal(serverInfo.nonce, Buffer.from(serverInfo.json))
  expect(toHex(sealed)).toBe(toHex(serverInfo.nonce) + toHex(serverInfo.box))
})

it('agrees on the same key as the portable X25519, for any keys', () => {
  fc.assert(
    fc.property(exactly(32), exactly(32), exactly(24), (mine, theirs, someNonce) => {
      const publicKey = keyPairFrom(theirs).publicKey
      const portable = new BoxKey(boxKeyFrom(x25519.getSharedSecret(mine, publicKey)))
      const native = agreed(new BoxSecret(mine), publicKey)
      expect(toHex(native.seal(someNonce, plain))).toBe(toHex(portable.seal(someNonce, plain)))
    }),
    { numRuns: 40 },
  )
})

it('gives the same result as the portable X25519 for any 32 bytes, on the curve or not', () => {
  fc.assert(
    fc.property(exactly(32), (publicKey) => {
      const native = agreed(new BoxSecret(server.privateKey), publicKey)
      const portable = new BoxKey(boxKeyFrom(x25519.getSharedSecret(server.privateKey, publicKey)))
      expect(portable.open(native.seal(nonce, plain))).toEqual(Uint8Array.from(plain))
    }),
    { numRuns: 40 },
  )
})

it('opens sealed boxes of any length and alignment', () => {
  const box = new BoxKey(agreement.boxKey)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), exactly(24), fc.nat(7), (message, someNonce, offset) => {
      const sealed = box.seal(someNonce, message)
      expect(sealed.length).toBe(message.length + 40)
      const inFrame = new Uint8Array(offset + sealed.length + 3)
      inFrame.set(sealed, offset)
      expect(box.open(inFrame.subarray(offset, offset + sealed.length))).toEqual(message)
    }),
  )
})

it('does not open a box with one flipped bit', () => {
  const box = new BoxKey(agreement.boxKey)
  const sealed = box.seal(nonce, plain)
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Uint8Array.from(sealed)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(box.open(flipped)).toBeUndefined()
  }
})

it('does not open a box that is truncated, extended, or sealed for others', () => {
  const box = new BoxKey(agreement.boxKey)
  const sealed = box.seal(nonce, plain)
  for (let length = 0; length < sealed.length; length++) {
    expect(box.open(sealed.subarray(0, length))).toBeUndefined()
  }
  expect(box.open(Buffer.concat([sealed, Buffer.alloc(1)]))).toBeUndefined()
  const others = agreed(new BoxSecret(keyVectors.clientB.privateKey), server.publicKey)
  expect(others.open(sealed)).toBeUndefined()
})

// Points of small order on Curve25519 and its twist, as published in its author's "validate" list.
const prime = 2n ** 255n - 19n
const smallOrder = [
  0n,
  1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
  prime - 1n,
  prime,
  prime + 1n,
]

it.each(smallOrder)('agrees on no key with the point of small order %d', (point) => {
  const key = Buffer.from(point.toString(16).padStart(64, '0'), 'hex').reverse()
  expect(new BoxSecret(server.privateKey).agree(key)).toBeUndefined()
  key.writeUInt8(key.readUInt8(31) | 0x80, 31)
  expect(new BoxSecret(server.privateKey).agree(key)).toBeUndefined()
})
